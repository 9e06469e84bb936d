//! The settings that are known, and how their values are read.

use std::ops::RangeInclusive;
use std::time::Duration;

use aemp_proto::kernel::{CONNECT_TIMEOUTS, MONITOR_TIMEOUTS};
use serde_json::{Map, Value as Json};

use super::ConfigError;

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// True or false: `1`, `0`, or JSON's own.
    Flag,
    /// A number of seconds, within the bounds of the timeout.
    Seconds,
    /// A number of bytes, 64 MiB at most.
    Bytes,
    /// A JSON list, or texts separated by commas.
    List,
}

/// When a node that runs follows a setting that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    AtOnce,
    /// With the next connection; those that are there stay as they are.
    NextConnection,
    /// When it is started again.
    Restart,
    /// Never: it is a setting of the Perl tool.
    Never,
}

/// Bytes that a setting can ask for.
const BYTES_MAX: usize = 64 << 20;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file and on the command line.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
}

/// All settings. `autocork` and `eval` are known because the Perl tool has them; they have no
/// effect here.
pub const KEYS: &[Key] = &[
    Key { name: "nodeid", shape: Shape::Text },
    Key { name: "secret", shape: Shape::Secret },
    Key { name: "cert", shape: Shape::Secret },
    Key { name: "binds", shape: Shape::List },
    Key { name: "advertise", shape: Shape::List },
    Key { name: "seeds", shape: Shape::List },
    Key { name: "services", shape: Shape::List },
    Key { name: "secure", shape: Shape::Flag },
    Key { name: "behind_nat", shape: Shape::Flag },
    Key { name: "relay", shape: Shape::Flag },
    Key { name: "monitor_timeout", shape: Shape::Seconds },
    Key { name: "connect_interval", shape: Shape::Seconds },
    Key { name: "framing_format", shape: Shape::List },
    Key { name: "auth_offer", shape: Shape::List },
    Key { name: "auth_accept", shape: Shape::List },
    Key { name: "verify_peeraddr", shape: Shape::Text },
    Key { name: "nodelay", shape: Shape::Flag },
    Key { name: "autocork", shape: Shape::Flag },
    Key { name: "eval", shape: Shape::Text },
    Key { name: "scripts", shape: Shape::List },
    Key { name: "script_eval", shape: Shape::Flag },
    Key { name: "script_limits", shape: Shape::List },
    Key { name: "ws", shape: Shape::Text },
    Key { name: "ws_clients", shape: Shape::Text },
    Key { name: "metrics", shape: Shape::Text },
    Key { name: "recorder", shape: Shape::Bytes },
    Key { name: "log_filter", shape: Shape::Text },
];

/// Names that settings had before, and that files and command lines may still use.
const OLD_NAMES: &[(&str, &str)] = &[("private", "behind_nat"), ("carry", "relay")];

/// Returns the name that a setting has now.
pub(super) fn current(name: &str) -> &str {
    OLD_NAMES.iter().find(|(old, _)| *old == name).map_or(name, |(_, current)| current)
}

impl Key {
    /// Finds the key with this name, or with this old name.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::UnknownKey`], which lists the known keys.
    pub fn find(name: &str) -> Result<Key, ConfigError> {
        let name = current(name);
        KEYS.iter().copied().find(|key| key.name == name).ok_or_else(|| {
            let similar = |key: &&Key| key.name.starts_with(name) || name.starts_with(key.name);
            let same_letters = |key: &&Key| sorted(key.name) == sorted(name) || one_apart(key.name, name);
            let close = KEYS.iter().find(|key| !name.is_empty() && (similar(key) || same_letters(key)));
            ConfigError::UnknownKey {
                key: name.into(),
                close: close.map(|key| key.name),
                known: KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// When a node that runs follows a change of this setting.
    pub fn effect(self) -> Effect {
        match self.name {
            "seeds" | "secure" | "log_filter" => Effect::AtOnce,
            "secret" | "cert" => Effect::NextConnection,
            "autocork" | "eval" => Effect::Never,
            _ => Effect::Restart,
        }
    }

    /// Returns the names that the setting had before.
    pub fn old_names(self) -> impl Iterator<Item = &'static str> {
        OLD_NAMES.iter().filter(move |(_, current)| *current == self.name).map(|(old, _)| *old)
    }

    /// Checks a value and gives it the form in which it is stored.
    ///
    /// # Errors
    ///
    /// The value does not have the shape of this key.
    pub fn normal(self, value: &Json) -> Result<Json, ConfigError> {
        Ok(match self.shape {
            Shape::Text | Shape::Secret => Json::String(self.text(value)?),
            Shape::Flag => Json::from(u8::from(self.flag(value)?)),
            Shape::Seconds => seconds_json(self.seconds(value)?),
            Shape::Bytes => Json::from(self.bytes(value)?),
            Shape::List => Json::Array(self.list(value)?),
        })
    }

    /// The limits of a timeout; other settings have none.
    pub fn bounds(self) -> Option<RangeInclusive<Duration>> {
        let bounds = if self.name == "monitor_timeout" { MONITOR_TIMEOUTS } else { CONNECT_TIMEOUTS };
        (self.shape == Shape::Seconds).then_some(bounds)
    }

    pub(super) fn text(self, value: &Json) -> Result<String, ConfigError> {
        match value {
            Json::String(text) => Ok(text.clone()),
            Json::Number(number) => Ok(number.to_string()),
            _ => Err(self.bad("a text", value)),
        }
    }

    pub(super) fn flag(self, value: &Json) -> Result<bool, ConfigError> {
        match value {
            Json::Bool(truth) => Ok(*truth),
            Json::Number(number) => Ok(number.as_f64() != Some(0.0)),
            Json::String(text) => match text.as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "" | "0" | "false" | "no" | "off" => Ok(false),
                _ => Err(self.bad("1 or 0", value)),
            },
            _ => Err(self.bad("1 or 0", value)),
        }
    }

    /// A truth value of the file. Words that say no are true for Perl, so they are refused: the
    /// node would differ.
    pub(super) fn stored_flag(self, value: &Json) -> Result<bool, ConfigError> {
        match value {
            Json::String(text) if !text.is_empty() && text != "0" && !self.flag(value)? => {
                Err(self.bad("1 or 0 (a Perl node takes this word for true)", value))
            }
            _ => self.flag(value),
        }
    }

    pub(super) fn seconds(self, value: &Json) -> Result<Duration, ConfigError> {
        let range = self.bounds().unwrap_or(CONNECT_TIMEOUTS);
        let number = match value {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| {
                let (min, max) = (range.start().as_secs_f64(), range.end().as_secs());
                self.bad(&format!("a number of seconds from {min} to {max}"), value)
            })
    }

    pub(super) fn bytes(self, value: &Json) -> Result<usize, ConfigError> {
        let number = match value {
            Json::Number(number) => number.as_u64(),
            Json::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| usize::try_from(number).ok());
        number
            .filter(|number| *number <= BYTES_MAX)
            .ok_or_else(|| self.bad(&format!("a number of bytes from 0 to {BYTES_MAX}"), value))
    }

    pub(super) fn list(self, value: &Json) -> Result<Vec<Json>, ConfigError> {
        match value {
            Json::Array(items) => Ok(items.clone()),
            // Nothing stands behind a comma at the end, as in Perl.
            Json::String(text) if text.chars().all(|c| c == ',') => Ok(Vec::new()),
            Json::String(text) => Ok(text.trim_end_matches(',').split(',').map(Json::from).collect()),
            Json::Number(number) => Ok(vec![Json::String(number.to_string())]),
            _ => Err(self.bad("a list (JSON, or texts separated by commas)", value)),
        }
    }

    pub(super) fn texts(self, value: &Json) -> Result<Vec<String>, ConfigError> {
        self.list(value)?.iter().map(|item| self.text(item)).collect()
    }

    pub(super) fn bad(self, expected: &str, value: &Json) -> ConfigError {
        let kind = match value {
            Json::Null => "null",
            Json::Bool(_) => "a truth value",
            Json::Number(_) => "a number",
            Json::String(_) => "a text",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        let found = if self.shape == Shape::Secret { kind.to_owned() } else { value.to_string() };
        ConfigError::BadValue { key: self.name.into(), expected: expected.into(), found }
    }
}

/// Whole seconds as an integer, as people write them.
fn seconds_json(duration: Duration) -> Json {
    if duration.subsec_nanos() == 0 { duration.as_secs().into() } else { duration.as_secs_f64().into() }
}

fn sorted(text: &str) -> Vec<u8> {
    let mut letters = text.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}

/// Whether one text is the other with one letter left out.
fn one_apart(one: &str, other: &str) -> bool {
    let (long, short) = if one.len() > other.len() { (one, other) } else { (other, one) };
    long.len() == short.len() + 1
        && (0..long.len()).any(|at| long.is_char_boundary(at) && without(long, at) == short)
}

fn without(text: &str, at: usize) -> String {
    text.char_indices().filter(|&(i, _)| i != at).map(|(_, c)| c).collect()
}

/// The value under `key`; null counts as not set.
pub(super) fn find<'a>(map: &'a Map<String, Json>, key: &str) -> Option<&'a Json> {
    map.get(key).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn normal(name: &str, value: Json) -> Result<Json, String> {
        Key::find(name).unwrap().normal(&value).map_err(|error| error.to_string())
    }

    #[test]
    fn values_get_their_stored_form() {
        assert_eq!(normal("nodeid", json!("a/")), Ok(json!("a/")));
        assert_eq!(normal("binds", json!("a:1,b:2")), Ok(json!(["a:1", "b:2"])));
        for (typed, list) in
            [("", json!([])), (",", json!([])), ("a,,", json!(["a"])), (",a", json!(["", "a"]))]
        {
            assert_eq!(normal("binds", json!(typed)), Ok(list));
        }
        assert_eq!(normal("services", json!([["f", 1], "g"])), Ok(json!([["f", 1], "g"])));
        assert_eq!(normal("secure", json!("1")), Ok(json!(1)));
        assert_eq!(normal("secure", json!("false")), Ok(json!(0)));
        assert_eq!(normal("monitor_timeout", json!("2.5")), Ok(json!(2.5)));
        assert_eq!(normal("monitor_timeout", json!("30")), Ok(json!(30)));
        assert_eq!(normal("recorder", json!("65536")), Ok(json!(65536)));
    }

    #[test]
    fn old_names_of_settings_still_work() {
        for (old, now) in [("private", "behind_nat"), ("carry", "relay")] {
            let key = Key::find(old).unwrap();
            assert_eq!(key.name, now);
            assert_eq!(key.old_names().collect::<Vec<_>>(), [old]);
        }
    }

    #[test]
    fn misfits_are_named_with_what_would_fit() {
        for (name, value) in [
            ("nodeid", json!(["a"])),
            ("secure", json!("perhaps")),
            ("monitor_timeout", json!("0")),
            ("monitor_timeout", json!("-1")),
            ("monitor_timeout", json!("1.9")),
            ("monitor_timeout", json!(86_401)),
            ("monitor_timeout", json!(1e300)),
            ("connect_interval", json!("0.09")),
            ("connect_interval", json!(86_401)),
            ("monitor_timeout", json!("soon")),
            ("monitor_timeout", json!("inf")),
            ("recorder", json!("64K")),
            ("recorder", json!(-1)),
            ("recorder", json!(67_108_865)),
            ("binds", json!({})),
        ] {
            let error = normal(name, value).unwrap_err();
            assert!(error.starts_with(&format!("{name}: expected ")), "{error}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_never_in_an_error() {
        let error = normal("secret", json!(["geheim"])).unwrap_err();
        assert!(error.contains("a list") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn an_unknown_key_suggests_the_one_that_was_meant() {
        for (typed, meant) in
            [("nodid", "nodeid"), ("bind", "binds"), ("sercet", "secret"), ("seedss", "seeds")]
        {
            let error = Key::find(typed).unwrap_err().to_string();
            assert!(error.contains(&format!("(meant {meant}?)")), "{error}");
        }
        assert!(!Key::find("colour").unwrap_err().to_string().contains("meant"));
    }
}
