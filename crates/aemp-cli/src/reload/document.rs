//! The table in `docs/operations.md` of what a running node follows: held by a test.

use aemp_config::{Effect, KEYS};

/// The words of the table.
fn words(effect: Effect) -> &'static str {
    match effect {
        Effect::AtOnce => "at once",
        Effect::NextConnection => "with the next connection",
        Effect::Restart => "after a restart",
        Effect::Never => "never",
    }
}

#[test]
fn the_document_says_of_every_setting_when_a_running_node_follows_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |effect: Effect| {
        let start = format!("| {} | ", words(effect));
        let row =
            text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {start:?}"));
        row.split('|')
            .nth(2)
            .unwrap()
            .split(',')
            .map(|name| name.trim().trim_matches('`'))
            .collect::<Vec<_>>()
    };
    for effect in [Effect::AtOnce, Effect::NextConnection, Effect::Restart, Effect::Never] {
        let mut listed = row(effect);
        let mut known: Vec<&str> =
            KEYS.iter().filter(|key| key.effect() == effect).map(|key| key.name).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known, "{effect:?}");
    }
}
