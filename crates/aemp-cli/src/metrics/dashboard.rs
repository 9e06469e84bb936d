//! The dashboard in `docs/grafana/aemp.json` asks for metrics that there are. This is a test.

use std::collections::BTreeSet;

use super::collect::names;

/// Words of a query that begin as our metrics do.
fn asked(queries: &str) -> BTreeSet<String> {
    let words = queries.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| word.starts_with("aemp_"));
    // A histogram is asked for in parts.
    let name = |word: &str| word.strip_suffix("_bucket").unwrap_or(word).to_owned();
    words.map(name).collect()
}

/// All values of `"expr"` and `"query"` in a document.
fn queries(json: &serde_json::Value, found: &mut String) {
    match json {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                match value.as_str().filter(|_| key == "expr" || key == "query") {
                    Some(query) => *found += &format!("{query}\n"),
                    None => queries(value, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

#[test]
fn every_query_of_the_dashboard_names_a_metric_that_there_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana/aemp.json");
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = String::new();
    queries(&serde_json::from_str(&text).unwrap(), &mut found);
    let (asked, names) = (asked(&found), names());
    assert!(asked.len() > 10, "{asked:?}");
    let unknown: Vec<&String> = asked.iter().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_names_are_those_of_the_operators_page() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = asked(&std::fs::read_to_string(path).unwrap());
    let names: BTreeSet<String> = names().into_iter().collect();
    assert_eq!(page, names);
}
