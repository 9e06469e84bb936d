//! What must hold for any content of a configuration file. A fuzz target and the test that replays
//! its corpus call this.

use aemp_config::{Arguments, ConfigFile, Host, Settings, effective};
use serde_json::{Map, Value as Json};

/// Bytes read as a configuration file: what is understood is the same after being written, and a
/// node either gets settings out of it or an error that holds no secret.
pub(crate) fn read_config(bytes: &[u8]) {
    let Ok(file) = ConfigFile::parse("rc".into(), bytes) else { return };
    let again = ConfigFile::parse("rc".into(), &file.to_bytes()).expect("what we write can be read");
    assert_eq!(file, again);

    let host = Host { name: "doomed".into(), addresses: vec!["192.0.2.2".parse().expect("an address")] };
    let names: Vec<&str> = file.profiles().chain(["nowhere"]).collect();
    for name in names {
        let Ok(found) = effective(Some(&file), &Arguments::for_profile(name), &host) else { continue };
        if let Err(error) = Settings::resolve(&found, &host) {
            let error = error.to_string();
            for secret in secrets(&found.settings) {
                assert!(!error.contains(secret), "{error}");
            }
        }
    }
    change(&file);
}

/// A setting of one profile leaves everything else as it was.
fn change(file: &ConfigFile) {
    let mut changed = file.clone();
    changed.section_mut(Some("a new one")).insert("nodeid".into(), "x".into());
    changed.remove_profile("a new one");
    let without_empty = |file: &ConfigFile| {
        let mut root: Map<String, Json> = file.section(None).expect("there always is one").clone();
        root.retain(|key, value| key != "profile" || value.as_object().is_some_and(|all| !all.is_empty()));
        root
    };
    if file.section(Some("a new one")).is_none() {
        assert_eq!(without_empty(file), without_empty(&changed));
    }
}

/// Texts that must not be shown; short ones may be a part of any message.
fn secrets(settings: &Map<String, Json>) -> impl Iterator<Item = &str> {
    let texts = ["secret", "cert"].into_iter().filter_map(|key| settings.get(key)?.as_str());
    texts.filter(|text| text.len() > 20)
}
