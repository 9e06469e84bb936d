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

/// Descriptors that a node should have for each of its seeds: the seeds dial it, too, and others
/// come to them through it.
const FOR_A_SEED: u64 = 4;

/// Warns of a limit that is lower than what a node with this number of seeds needs.
pub(crate) fn check_limit(seeds: usize) {
    let needed = FOR_A_SEED * seeds as u64;
    if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE)
        && limit < needed
    {
        tracing::warn!(
            limit,
            needed,
            seeds,
            "the limit of open descriptors is low for the number of seeds; raise the hard limit (ulimit -Hn)"
        );
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
