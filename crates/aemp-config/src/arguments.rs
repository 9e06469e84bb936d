//! `KEY VALUE…` as Perl's `configure` takes it.

use serde_json::{Map, Value as Json};

use super::{ConfigError, ConfigFile, Key, Secret, Shape, parse_argument, parse_text};

/// Settings given by a program or on a command line, beside those of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// The profile to use; `None` is the one with the host's node name.
    pub profile: Option<String>,
    /// Do not read the file at all.
    pub norc: bool,
    /// These arguments win over the file. As in Perl the file wins without it.
    pub force: bool,
    /// Somebody has typed the profile's name, and expects it to be there.
    named: bool,
    settings: Map<String, Json>,
}

impl Arguments {
    /// Reads a list of keys and values. An odd number of texts means that the first one is the name
    /// of a profile. Values are JSON where they start with `[`, `{` or `"`; a list may be written
    /// with commas. A key that comes twice counts as the last one says. A secret or certificate may
    /// stand elsewhere: see [`Secret::typed`].
    ///
    /// # Errors
    ///
    /// A key is not known, or its value does not fit.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Arguments, ConfigError> {
        let mut texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        if texts.len() % 2 == 1 {
            // A known key without a value is more likely than a profile of that name.
            if texts.len() > 1 && is_known(&texts[0]) && texts.iter().step_by(2).all(|text| is_known(text)) {
                let last = texts.pop().unwrap_or_default();
                return Err(ConfigError::Arguments(format!("{last}: the value is missing")));
            }
            texts.insert(0, "profile".into());
        }
        let mut arguments = Arguments::default();
        for pair in texts.chunks_exact(2) {
            arguments.read(&pair[0], &pair[1])?;
        }
        Ok(arguments)
    }

    /// No settings yet, for this profile.
    pub fn for_profile(name: &str) -> Arguments {
        Arguments { profile: Some(name.into()), ..Arguments::default() }
    }

    /// These arguments, and nothing from the file.
    pub fn without_file(self) -> Arguments {
        Arguments { norc: true, ..self }
    }

    /// These arguments, and they win over the file.
    pub fn forced(self) -> Arguments {
        Arguments { force: true, ..self }
    }

    /// Reads one `KEY VALUE` more.
    ///
    /// # Errors
    ///
    /// The key is not known, or the value does not fit it.
    pub fn read(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        if key == "profile" {
            self.profile = Some(parse_text(text)?);
            self.named = true;
            return Ok(());
        }
        let flag = |name| Key { name, shape: Shape::Flag }.flag(&Json::from(text));
        match key {
            "norc" => self.norc = flag("norc")?,
            "force" => self.force = flag("force")?,
            // What is typed is bytes, and each is one character in the file.
            _ if Key::find(key)?.shape == Shape::Secret && !text.starts_with('"') => {
                self.set(key, &Json::from(Secret::to_text(Secret::typed(key, text)?.bytes())))?;
            }
            _ => self.set(key, &parse_argument(text)?)?,
        }
        Ok(())
    }

    /// Looks for the profile whose name was typed, and warns if it is not there: that is no error,
    /// as a profile without any settings is as good as none.
    ///
    /// # Errors
    ///
    /// It is not there and has the name of a setting, whose value is missing rather.
    pub fn check_profile(&self, file: &ConfigFile) -> Result<(), ConfigError> {
        let Some(name) =
            self.profile.as_deref().filter(|name| self.named && file.section(Some(name)).is_none())
        else {
            return Ok(());
        };
        if is_known(name) {
            let what = format!("{name}: the value is missing, and there is no profile of this name");
            return Err(ConfigError::Arguments(what));
        }
        let others = file.profiles().collect::<Vec<_>>().join(", ");
        tracing::warn!(
            file = %file.path().display(), profile = name, others,
            "there is no such profile, so the global settings are used"
        );
        Ok(())
    }

    /// Sets one setting.
    ///
    /// # Errors
    ///
    /// The key is not known, or the value does not fit it.
    pub fn set(&mut self, key: &str, value: &Json) -> Result<(), ConfigError> {
        let key = Key::find(key)?;
        if value.is_null() {
            self.settings.remove(key.name);
        } else {
            self.settings.insert(key.name.into(), key.normal(value)?);
        }
        Ok(())
    }

    /// The settings, in their stored form.
    pub fn settings(&self) -> &Map<String, Json> {
        &self.settings
    }
}

fn is_known(key: &str) -> bool {
    matches!(key, "profile" | "norc" | "force") || Key::find(key).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Places;
    use serde_json::json;

    #[test]
    fn an_odd_first_text_is_the_profile() {
        let arguments = Arguments::parse(["server", "nodeid", "a/", "binds", r#"["*:4040"]"#]).unwrap();
        assert_eq!(arguments.profile.as_deref(), Some("server"));
        assert_eq!(Json::Object(arguments.settings().clone()), json!({"nodeid": "a/", "binds": ["*:4040"]}));
        assert_eq!(Arguments::parse(["server"]).unwrap().profile.as_deref(), Some("server"));
        assert_eq!(Arguments::parse([""; 0]).unwrap(), Arguments::default());
    }

    #[test]
    fn lists_may_have_commas_and_flags_are_read() {
        let arguments =
            Arguments::parse(["norc", "1", "force", "0", "seeds", "a,b:1", "seeds", "c"]).unwrap();
        assert!(arguments.norc && !arguments.force);
        assert_eq!(arguments.settings()["seeds"], json!(["c"]));
    }

    #[test]
    fn a_typed_secret_is_bytes_and_a_quoted_one_is_characters() {
        let secret = |text: &str| {
            let arguments = Arguments::parse(["secret", text]).unwrap();
            Secret::from_text(arguments.settings()["secret"].as_str().unwrap()).bytes().to_vec()
        };
        assert_eq!(secret("caf\u{e9}"), "caf\u{e9}".as_bytes());
        assert_eq!(secret("\"caf\u{e9}\""), b"caf\xe9");
    }

    #[test]
    fn a_profile_that_was_typed_should_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        std::fs::write(&path, r#"{"profile": {"seeds": {}}}"#).unwrap();
        let file = ConfigFile::open(&Places { chosen: Some(path), ..Places::default() }).unwrap();
        let check = |texts: &[&str]| {
            Arguments::parse(texts).unwrap().check_profile(&file).map_err(|error| error.to_string())
        };
        assert_eq!(
            check(&["nodeid"]),
            Err("nodeid: the value is missing, and there is no profile of this name".into())
        );
        assert_eq!((check(&["seeds"]), check(&["server"]), check(&[])), (Ok(()), Ok(()), Ok(())));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |texts: &[&str]| Arguments::parse(texts).unwrap_err().to_string();
        assert_eq!(error(&["nodeid", "a", "binds"]), "binds: the value is missing");
        assert!(error(&["nodid", "a"]).starts_with("nodid: no such setting (meant nodeid?)"));
        assert!(error(&["binds", "[1"]).starts_with("[1: an argument that starts with"));
        assert!(error(&["norc", "maybe"]).starts_with("norc: expected 1 or 0"));
    }
}
