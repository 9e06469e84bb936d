//! The configuration file while commands work on it.

use aemp::config::{Arguments, ConfigError, ConfigFile, Host, Places, Settings, effective};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// The file, read when the first command needs it and written once after the last.
#[derive(Debug, Default)]
pub(crate) struct Session {
    file: Option<ConfigFile>,
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

    /// The file.
    pub(crate) fn file(&mut self) -> Result<&mut ConfigFile, Failure> {
        let file = match self.file.take() {
            Some(file) => file,
            None => ConfigFile::open(&Places::from_env())?,
        };
        Ok(self.file.insert(file))
    }

    /// The settings that commands change; they count as changed from now on.
    pub(crate) fn section_mut(&mut self) -> Result<&mut Map<String, Json>, Failure> {
        self.changed = true;
        let profile = self.profile.clone();
        Ok(self.file()?.section_mut(profile.as_deref()))
    }

    /// Removes a profile.
    pub(crate) fn remove_profile(&mut self, name: &str) -> Result<(), Failure> {
        self.changed |= self.file()?.remove_profile(name);
        if self.profile.as_deref() == Some(name) {
            self.profile = None;
        }
        Ok(())
    }

    /// Writes the file if a command changed it.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.changed) {
            let file = self.file()?;
            file.save()?;
            tracing::info!(file = %file.path().display(), "configuration written");
        }
        Ok(())
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
