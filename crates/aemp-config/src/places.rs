//! Where the configuration file may be.

use std::env;
use std::path::PathBuf;

use super::ConfigError;

/// The places of the file, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `$AEMP_RC`.
    pub chosen: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME/aemp/config.json`, or `~/.config/aemp/config.json`.
    pub own: Option<PathBuf>,
    /// `$PERL_ANYEVENT_MP_RC`, or `~/.perl-anyevent-mp`.
    pub perl: Option<PathBuf>,
}

impl Places {
    /// The places that the environment of this process names.
    pub fn from_env() -> Places {
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let config_home = path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        Places {
            chosen: path("AEMP_RC"),
            own: config_home.map(|folder| folder.join("aemp/config.json")),
            perl: path("PERL_ANYEVENT_MP_RC").or_else(|| home.map(|home| home.join(".perl-anyevent-mp"))),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.chosen, &self.own, &self.perl].into_iter().flatten()
    }

    /// Where to write when `read` was read. What `$AEMP_RC` names is always the one; otherwise the
    /// file that was read stays the one, so that a file shared with Perl stays shared.
    pub(super) fn target(&self, read: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        self.chosen.clone().or(read).or_else(|| self.own.clone()).ok_or(ConfigError::NoPlace)
    }
}
