//! How many connections and files the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open descriptors to what the system lets this process have: every connection
/// costs one, and the usual 1024 are fewer than the connections that a node takes.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| match soft < hard {
        true => setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| Some((soft, hard))),
        false => Ok(None),
    });
    match raised {
        Ok(Some((soft, hard))) => tracing::debug!(soft, hard, "raised the limit of open descriptors"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open descriptors (ulimit -n)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_allows() {
        raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
