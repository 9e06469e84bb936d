//! Numbers as they are written. Settings that nobody here knows may need more digits than a number
//! of ours has; what was not changed is written digit by digit as it was read.

use std::collections::BTreeMap;

use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

/// By profile (`None` for the global settings) and key: settings with numbers in them, as they are
/// understood and as they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Digits(BTreeMap<(Option<String>, String), (Json, String)>);

type Raw<'a> = BTreeMap<String, &'a RawValue>;

impl Digits {
    /// Those of a file, which is this object, with its profiles below a key.
    pub(super) fn of(plain: &[u8], root: &Map<String, Json>, profiles: &str) -> Digits {
        let mut digits = Digits::default();
        let Ok(mut raw) = serde_json::from_slice::<Raw<'_>>(plain) else { return digits };
        let raw_profiles = raw.remove(profiles).map(RawValue::get).unwrap_or_default();
        digits.note(None, raw, root);
        // What is no object has no settings.
        let raw_profiles: Raw<'_> = serde_json::from_str(raw_profiles).unwrap_or_default();
        for (name, raw) in raw_profiles {
            let known = root.get(profiles).and_then(|all| all.get(&name)).and_then(Json::as_object);
            if let (Some(section), Ok(raw)) = (known, serde_json::from_str(raw.get())) {
                digits.note(Some(&name), raw, section);
            }
        }
        digits
    }

    fn note(&mut self, profile: Option<&str>, raw: Raw<'_>, section: &Map<String, Json>) {
        for (key, raw) in raw {
            if let Some(value) = section.get(&key).filter(|value| has_numbers(value)) {
                self.0.insert((profile.map(Into::into), key), (value.clone(), raw.get().into()));
            }
        }
    }

    fn text(&self, profile: Option<&str>, key: &str, value: &Json) -> Option<&str> {
        let (before, text) = self.0.get(&(profile.map(Into::into), key.into()))?;
        (before == value).then_some(text)
    }
}

fn has_numbers(value: &Json) -> bool {
    match value {
        Json::Number(_) => true,
        Json::Array(values) => values.iter().any(has_numbers),
        Json::Object(entries) => entries.values().any(has_numbers),
        Json::Null | Json::Bool(_) | Json::String(_) => false,
    }
}

/// Settings as they are to be written: the global ones with the profiles below a key, or those of a
/// profile.
pub(super) struct Section<'a> {
    pub(super) digits: &'a Digits,
    pub(super) settings: &'a Map<String, Json>,
    pub(super) place: Place<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Global { profiles: &'a str },
    Profiles,
    Profile(&'a str),
}

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Section { digits, settings, place } = *self;
        let mut map = serializer.serialize_map(Some(settings.len()))?;
        for (key, value) in settings {
            let below = match place {
                Place::Global { profiles } if key == profiles => Some(Place::Profiles),
                Place::Profiles => Some(Place::Profile(key)),
                Place::Global { .. } | Place::Profile(_) => None,
            };
            let profile = if let Place::Profile(name) = place { Some(name) } else { None };
            match (below, value) {
                (Some(place), Json::Object(settings)) => {
                    map.serialize_entry(key, &Section { digits, settings, place })?;
                }
                _ => match digits.text(profile, key, value) {
                    Some(text) => {
                        let raw = RawValue::from_string(text.into()).map_err(S::Error::custom)?;
                        map.serialize_entry(key, &raw)?;
                    }
                    None => map.serialize_entry(key, value)?,
                },
            }
        }
        map.end()
    }
}
