//! A package that is published says what it is, brings README and licences, and links only to what
//! a reader of a registry can reach.

use std::error::Error;
use std::path::Path;

use serde_json::Value;

use super::Problem;
use super::direction::metadata;
use super::sources::{SourceFile, Sources};

/// What lies in the folder of each package; links to the files in the root where these are the
/// same.
const FILES: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// What the registry shows of a package.
const FIELDS: [&str; 7] =
    ["description", "documentation", "license", "repository", "readme", "keywords", "categories"];

/// Checks the manifests of all packages that are published, and the links in all documents to the
/// repository.
///
/// # Errors
///
/// `cargo` cannot be asked for the packages.
pub(super) fn check(root: &Path, sources: &Sources) -> Result<Vec<Problem>, Box<dyn Error>> {
    let metadata = metadata(root)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let published: Vec<&Value> = packages.filter(|package| package["publish"].is_null()).collect();
    let mut problems = Vec::new();
    for package in &published {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = Path::new(manifest).parent().unwrap_or(root);
        let place = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
        problems.extend(missing(package).map(|field| {
            Problem::new(format!("{place}/Cargo.toml"), format!("it is published and has no {field}"))
        }));
        for name in FILES {
            match std::fs::read_to_string(folder.join(name)) {
                Err(_) => problems.push(Problem::new(&place, format!("it is published without {name}"))),
                Ok(text) if name == "README.md" => {
                    let found = relative_links(&text);
                    problems.extend(found.map(|link| {
                        let what = format!("{link} leads nowhere from a registry; write the whole address");
                        Problem::new(format!("{place}/{name}"), what)
                    }));
                }
                Ok(_) => {}
            }
        }
    }
    let repository = published.iter().find_map(|package| package["repository"].as_str());
    let documents = sources.files().filter(|file| file.path.ends_with(".md") || file.path.ends_with(".rs"));
    problems.extend(documents.flat_map(|file| dead(root, file, repository.unwrap_or("https://"))));
    Ok(problems)
}

fn missing(package: &Value) -> impl Iterator<Item = &'static str> {
    FIELDS.into_iter().filter(|field| match &package[*field] {
        Value::Array(list) => list.is_empty(),
        other => other.as_str().is_none_or(str::is_empty),
    })
}

fn relative_links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with('#') && !target.contains(':'))
}

/// Addresses of files in the repository that are not there.
fn dead(root: &Path, file: &SourceFile, repository: &str) -> Vec<Problem> {
    let links = file.text.split(repository).skip(1);
    let paths = links.filter_map(|rest| {
        let mut kinds = ["/blob/main/", "/tree/main/", "/raw/main/"].into_iter();
        let rest = kinds.find_map(|kind| rest.strip_prefix(kind))?;
        rest.split(|c: char| c.is_whitespace() || "#)>\"'".contains(c)).next()
    });
    paths
        .filter(|path| !root.join(path).exists())
        .map(|path| Problem::new(&file.path, format!("a link leads to {path}, which is not there")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_field_is_a_missing_one() {
        let mut package = json!({"keywords": ["a"], "categories": []});
        for field in ["description", "documentation", "license", "repository"] {
            package[field] = json!("x");
        }
        assert_eq!(missing(&package).collect::<Vec<_>>(), ["readme", "categories"]);
    }

    #[test]
    fn links_within_the_page_and_whole_addresses_are_well() {
        let text = "[a](#b) [c](https://example.org/d) [e](../f.md)";
        assert_eq!(relative_links(text).collect::<Vec<_>>(), ["../f.md"]);
    }

    #[test]
    fn an_address_in_the_repository_names_a_file() {
        let text = "[a](https://r.example/blob/main/Cargo.toml#x) <https://r.example/tree/main/gone> \
            https://r.example/issues ![b](https://r.example/raw/main/gone.svg)";
        let file = SourceFile::new("a.md".into(), text.into()).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(dead(here, &file, "https://r.example").len(), 2);
    }
}
