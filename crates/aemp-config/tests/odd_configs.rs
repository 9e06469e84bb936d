//! Configuration files with odd content, as a person or Perl may leave them: they are understood or
//! refused, never damaged.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "support/config_checks.rs"]
mod checks;
#[path = "../../aemp-proto/tests/support/corpus.rs"]
mod corpus;

use aemp_config::{ConfigFile, KEYS, Key, Secret, Shape};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

#[test]
fn the_corpus_of_the_fuzz_target() {
    corpus::replay("config", checks::read_config);
}

/// Any JSON, with texts that look like numbers, are empty, or hold Latin-1 and other characters.
fn any_json() -> impl Strategy<Value = Json> {
    let text =
        prop_oneof!["[a-z0-9:*/,.-]{0,12}", "[0-9.]{1,4}", "\\PC{0,4}", "[\u{80}-\u{ff}\u{0}-\u{1f}]{0,4}"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Settings with known and unknown keys.
fn any_settings() -> impl Strategy<Value = Json> {
    let known = prop::sample::select(KEYS).prop_map(|key| key.name.to_owned());
    let key = prop_oneof![4 => known, 1 => Just("parent".to_owned()), 1 => "[a-z]{1,5}"];
    prop::collection::btree_map(key, any_json(), 0..5).prop_map(|map| json!(map))
}

fn any_file() -> impl Strategy<Value = Json> {
    let profiles = prop::collection::btree_map("[pq]|\\PC{0,2}", any_settings(), 0..3);
    (any_settings(), profiles).prop_map(|(mut root, profiles)| {
        root["profile"] = json!(profiles);
        root
    })
}

/// The same as Perl's relaxed reader takes it: a comment behind each line, and a comma behind each
/// last element.
fn relaxed(plain: &str) -> String {
    let lines: Vec<&str> = plain.lines().collect();
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let closes = lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with([']', '}']));
        let opens = line.ends_with(['[', '{', ',']);
        out += line;
        out += if closes && !opens { ",# \"caf\u{e9}\", ]\n" } else { " # {\n" };
    }
    out
}

proptest! {
    #[test]
    fn any_object_is_kept_and_never_a_fault(file in any_file()) {
        let text = file.to_string();
        checks::read_config(text.as_bytes());
        let read = ConfigFile::parse("rc".into(), text.as_bytes()).unwrap();
        prop_assert_eq!(json!(read.section(None)), file);
    }

    #[test]
    fn comments_and_last_commas_change_nothing(file in any_file()) {
        let text = relaxed(&serde_json::to_string_pretty(&file).unwrap());
        let read = ConfigFile::parse("rc".into(), text.as_bytes()).unwrap();
        prop_assert_eq!(json!(read.section(None)), file, "{}", text);
    }

    #[test]
    fn a_stored_form_is_stored_as_it_is(key in prop::sample::select(KEYS), value in any_json()) {
        if let Ok(stored) = key.normal(&value) {
            prop_assert_eq!(key.normal(&stored).unwrap(), stored);
        }
    }

    #[test]
    fn a_number_may_be_a_text(number in 0u32..1_000_000, fraction in 0u8..4) {
        let seconds = Key::find("monitor_timeout").unwrap();
        let number = f64::from(number) + f64::from(fraction) / 4.0;
        let (as_number, as_text) = (seconds.normal(&json!(number)), seconds.normal(&json!(number.to_string())));
        prop_assert_eq!(as_number.ok(), as_text.ok());
        for key in KEYS.iter().filter(|key| key.shape == Shape::Flag) {
            prop_assert_eq!(key.normal(&json!("1")).unwrap(), key.normal(&json!(1)).unwrap());
        }
    }

    #[test]
    fn a_secret_is_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let stored = Secret::to_text(&bytes);
        let file = json!({ "secret": stored });
        let read = ConfigFile::parse("rc".into(), file.to_string().as_bytes()).unwrap();
        let text = read.section(None).unwrap()["secret"].as_str().unwrap().to_owned();
        prop_assert_eq!(Vec::from(Secret::from_text(&text)), bytes);
    }
}
