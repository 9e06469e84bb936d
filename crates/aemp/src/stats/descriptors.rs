//! How many files and sockets the process has open, and how many it may have.

use std::fs;

use serde::{Deserialize, Serialize};

/// Open files and sockets of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Descriptors {
    /// How many are open.
    pub open: u64,
    /// How many may be.
    pub limit: u64,
}

impl Descriptors {
    /// What Linux tells in `/proc`; `None` on other systems, or where that is not there.
    pub(super) fn now() -> Option<Descriptors> {
        // The folder itself is open while it is read.
        let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64;
        let limit = limit(&fs::read_to_string("/proc/self/limits").ok()?)?;
        Some(Descriptors { open, limit })
    }
}

/// The soft limit.
fn limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max open files            1024                 524288               files\n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit("Max open files   unlimited  unlimited  files"), Some(u64::MAX));
        assert_eq!(limit(""), None);
    }
}
