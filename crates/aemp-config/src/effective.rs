//! The layers of a configuration, laid over each other.

use serde_json::{Map, Value as Json, json};

use super::keys::{KEYS, Key, current, find};
use super::{Arguments, ConfigError, ConfigFile, Host};

/// What is in force for one profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The name of the profile, which need not be in the file.
    pub profile: String,
    /// The settings, unknown ones included.
    pub settings: Map<String, Json>,
    /// Arguments that the file has overruled.
    pub overruled: Vec<String>,
}

impl Effective {
    /// The settings that are different in another configuration.
    pub fn changed<'a>(&'a self, other: &'a Effective) -> impl Iterator<Item = Key> + 'a {
        let differs = |key: &Key| find(&self.settings, key.name) != find(&other.settings, key.name);
        KEYS.iter().copied().filter(differs)
    }
}

/// Lays the defaults, the arguments and the file over each other, the later ones winning; with
/// `force` the arguments win over the file. In the file a profile wins over its parent, and that
/// over the global settings.
///
/// # Errors
///
/// The parents of the profile form a circle.
pub fn effective(
    file: Option<&ConfigFile>,
    arguments: &Arguments,
    host: &Host,
) -> Result<Effective, ConfigError> {
    let profile = arguments.profile.clone().unwrap_or_else(|| host.name.clone());
    let from_file = match file {
        Some(file) => inherited(file, &profile)?,
        None => Map::new(),
    };
    let given = arguments.settings().clone();
    let overruled =
        given.iter().filter(|(key, value)| find(&from_file, key).is_some_and(|other| other != *value));
    let overruled =
        if arguments.force { Vec::new() } else { overruled.map(|(key, _)| key.clone()).collect() };
    let layers =
        if arguments.force { [defaults(), from_file, given] } else { [defaults(), given, from_file] };
    let mut settings = Map::new();
    for (key, value) in layers.into_iter().flatten() {
        if !value.is_null() {
            settings.insert(key, value);
        }
    }
    Ok(Effective { profile, settings, overruled })
}

fn defaults() -> Map<String, Json> {
    let defaults = [
        ("monitor_timeout", json!(30)),
        ("framing_format", json!(["aemp1", "cbor", "json"])),
        ("auth_offer", json!(["tls_sha3_512", "hmac_sha3_512"])),
        ("auth_accept", json!(["tls_sha3_512", "hmac_sha3_512"])),
    ];
    defaults.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The settings of a profile with those of its parents and the global ones below.
fn inherited(file: &ConfigFile, profile: &str) -> Result<Map<String, Json>, ConfigError> {
    let mut chain = Vec::new();
    let mut name = Some(profile.to_owned());
    while let Some(current) = name {
        let seen = chain.contains(&current);
        chain.push(current.clone());
        if seen {
            return Err(ConfigError::ParentLoop { chain });
        }
        let section = file.section(Some(&current));
        name = section.and_then(|section| find(section, "parent")).and_then(|parent| match parent {
            Json::String(name) => Some(name.clone()),
            Json::Number(name) => Some(name.to_string()),
            _ => None,
        });
    }
    let mut settings = with_current_names(file.section(None));
    for name in chain.iter().rev() {
        settings.extend(with_current_names(file.section(Some(name))));
    }
    // These describe the file, not a node.
    for key in ["profile", "parent", "use", "version"] {
        settings.remove(key);
    }
    Ok(settings)
}

/// A section whose settings have the names of today. Where a setting is there under both names, the
/// new one counts.
fn with_current_names(section: Option<&Map<String, Json>>) -> Map<String, Json> {
    let section = section.cloned().unwrap_or_default();
    let (now, old): (Vec<_>, Vec<_>) = section.into_iter().partition(|(key, _)| current(key) == key);
    let old = old.into_iter().map(|(key, value)| (current(&key).to_owned(), value));
    old.chain(now).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Places;

    fn file(content: Json) -> ConfigFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        std::fs::write(&path, content.to_string()).unwrap();
        ConfigFile::open(&Places { chosen: Some(path), ..Places::default() }).unwrap()
    }

    fn look(content: Json, texts: &[&str]) -> Effective {
        let host = Host { name: "doomed".into(), addresses: vec![] };
        effective(Some(&file(content)), &Arguments::parse(texts).unwrap(), &host).unwrap()
    }

    #[test]
    fn a_profile_inherits_from_its_parents_and_the_global_settings() {
        let content = json!({
            "nodeid": "g", "secret": "g", "seeds": ["g"], "colour": "blue", "version": 1,
            "profile": {
                "p": {"parent": "q", "nodeid": "p"},
                "q": {"nodeid": "q", "secret": "q", "parent": null},
            },
        });
        let found = look(content, &["p"]);
        assert_eq!(found.profile, "p");
        let mut expected = defaults();
        expected.extend(
            json!({"nodeid": "p", "secret": "q", "seeds": ["g"], "colour": "blue"})
                .as_object()
                .unwrap()
                .clone(),
        );
        assert_eq!(found.settings, expected);
    }

    #[test]
    fn old_names_of_settings_count_as_the_new_ones() {
        let content = json!({
            "private": 1, "carry": 1,
            "profile": {"p": {"relay": 0}, "q": {"carry": 0}, "both": {"carry": 1, "relay": 0}},
        });
        for profile in ["p", "q", "both"] {
            let found = look(content.clone(), &[profile]).settings;
            assert_eq!((&found["behind_nat"], &found["relay"]), (&json!(1), &json!(0)), "{profile}");
            assert!(!found.contains_key("private") && !found.contains_key("carry"), "{profile}");
        }
        let typed = Arguments::parse(["private", "1", "carry", "0"]).unwrap();
        let host = Host { name: "doomed".into(), addresses: vec![] };
        let found = effective(None, &typed, &host).unwrap().settings;
        assert_eq!((&found["behind_nat"], &found["relay"]), (&json!(1), &json!(0)));
    }

    #[test]
    fn the_host_name_is_the_default_profile_and_a_missing_one_is_empty() {
        let content =
            json!({"nodeid": "g", "profile": {"doomed": {"nodeid": "d"}, "p": {"parent": "nowhere"}}});
        assert_eq!(look(content.clone(), &[]).settings["nodeid"], "d");
        assert_eq!(look(content.clone(), &["other"]).settings["nodeid"], "g");
        assert_eq!(look(content, &["p"]).settings["nodeid"], "g");
    }

    #[test]
    fn the_file_wins_over_arguments_unless_they_are_forced() {
        let content = json!({"nodeid": "g", "monitor_timeout": 5});
        let found = look(content.clone(), &["nodeid", "a", "secret", "s"]);
        assert_eq!((&found.settings["nodeid"], &found.settings["secret"]), (&json!("g"), &json!("s")));
        assert_eq!(found.overruled, ["nodeid"]);
        let forced = look(content, &["nodeid", "a", "force", "1"]);
        assert_eq!(
            (&forced.settings["nodeid"], &forced.settings["monitor_timeout"]),
            (&json!("a"), &json!(5))
        );
        assert!(forced.overruled.is_empty());
    }

    #[test]
    fn null_takes_a_setting_back_to_the_layer_below() {
        let content = json!({"monitor_timeout": null, "profile": {"p": {"nodeid": null}}});
        let found = look(content, &["p", "nodeid", "a"]);
        assert_eq!(
            (&found.settings["nodeid"], &found.settings["monitor_timeout"]),
            (&json!("a"), &json!(30))
        );
    }

    #[test]
    fn a_circle_of_parents_is_an_error_that_shows_it() {
        let content = json!({"profile": {"a": {"parent": "b"}, "b": {"parent": "c"}, "c": {"parent": "b"}}});
        let host = Host { name: "doomed".into(), addresses: vec![] };
        let error = effective(Some(&file(content)), &Arguments::parse(["a"]).unwrap(), &host).unwrap_err();
        assert!(error.to_string().contains("a -> b -> c -> b"), "{error}");
    }
}
