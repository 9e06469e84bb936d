//! The configuration file while commands work on it.

use aemp_config::{Arguments, ConfigChange, ConfigError, ConfigFile, Host, Places, Settings, effective};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// The file: locked and read when the first command changes it, and written once after the last.
/// Commands that only look at it need no lock.
#[derive(Debug, Default)]
pub(crate) struct Session {
    change: Option<ConfigChange>,
    seen: Option<ConfigFile>,
    /// The profile that commands change; `None` is the global settings.
    profile: Option<String>,
    changed: bool,
}

impl Session {
    /// From here on commands change this profile.
    pub(crate) fn select(&mut self, profile: &str) -> Result<(), Failure> {
        self.profile = Some(profile.into());
        self.section_mut().map(|_| ())
    }

    /// The file, with the changes that were made.
    pub(crate) fn file(&mut self) -> Result<&ConfigFile, Failure> {
        if let Some(change) = &self.change {
            return Ok(change.file());
        }
        let seen = match self.seen.take() {
            Some(seen) => seen,
            None => ConfigFile::open(&Places::from_env())?,
        };
        Ok(self.seen.insert(seen))
    }

    /// The settings that commands change; they count as changed from now on.
    pub(crate) fn section_mut(&mut self) -> Result<&mut Map<String, Json>, Failure> {
        self.changed = true;
        let profile = self.profile.clone();
        Ok(self.change()?.file_mut().section_mut(profile.as_deref()))
    }

    /// Removes a profile; false if it was not there. If it is the one that commands change, the
    /// next one makes it anew.
    pub(crate) fn remove_profile(&mut self, name: &str) -> Result<bool, Failure> {
        let was_there = self.change()?.file_mut().remove_profile(name);
        self.changed |= was_there;
        if self.file()?.used_profile() == Some(name) {
            self.use_profile(None)?;
        }
        Ok(was_there)
    }

    /// Commands that talk to a network use this profile from now on.
    pub(crate) fn use_profile(&mut self, name: Option<&str>) -> Result<(), Failure> {
        self.change()?.file_mut().use_profile(name);
        self.changed = true;
        Ok(())
    }

    /// Writes the file if a command changed it. Others may change it from now on.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        self.seen = None;
        let Some(change) = self.change.take() else { return Ok(()) };
        if std::mem::take(&mut self.changed) {
            let path = change.file().path().to_owned();
            change.save()?;
            tracing::info!(file = %path.display(), "configuration written");
        }
        Ok(())
    }

    fn change(&mut self) -> Result<&mut ConfigChange, Failure> {
        let change = match self.change.take() {
            Some(change) => change,
            None => ConfigChange::begin(&Places::from_env())?,
        };
        Ok(self.change.insert(change))
    }
}

/// Checks a setting as a node would when it starts.
pub(crate) fn check(key: &str, value: &Json) -> Result<(), ConfigError> {
    let host = Host { name: "localhost".into(), addresses: Vec::new() };
    let mut arguments = Arguments::for_profile("check").without_file();
    arguments.set(key, value)?;
    Settings::resolve(&effective(None, &arguments, &host)?, &host)?;
    Ok(())
}
