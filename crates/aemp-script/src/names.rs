//! Names of functions and modules, and the files that they stand for. No name leads out of the
//! search path.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most bytes of a name: longer ones are not names but attempts.
const NAME_MAX: usize = 200;

/// What scripts are called on disk.
const SUFFIX: &str = "rhai";

/// `a::b::` is a module, `a::b::c` a function in the module `a::b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// The parts of the module's name, at least one.
    module: Vec<String>,
    /// The function; none if the module itself is meant.
    pub(crate) function: Option<String>,
}

impl Name {
    /// Takes a name apart. Each part is an ASCII letter or underscore, and letters, digits and
    /// underscores after it: so it is neither `..` nor a path, and no name of a function that has
    /// none.
    pub(crate) fn parse(text: &str) -> Option<Name> {
        if text.len() > NAME_MAX {
            return None;
        }
        let mut parts: Vec<&str> = text.split("::").collect();
        let function = match parts.pop()? {
            "" => None,
            function => Some(function),
        };
        let all_fit = parts.iter().chain(&function).all(|part| is_identifier(part));
        (all_fit && !parts.is_empty()).then(|| Name {
            module: parts.into_iter().map(Into::into).collect(),
            function: function.map(Into::into),
        })
    }

    /// The module as people write it.
    pub(crate) fn module(&self) -> String {
        self.module.join("::")
    }

    /// The file of the module below a folder of the search path.
    pub(crate) fn file(&self) -> PathBuf {
        self.module.iter().collect::<PathBuf>().with_extension(SUFFIX)
    }

    /// The first file in the search path that is there.
    pub(crate) fn find(&self, path: &[PathBuf]) -> Option<PathBuf> {
        let file = self.file();
        path.iter().map(|folder| folder.join(&file)).find(|file| file.is_file())
    }
}

/// Reads a script of at most this many bytes.
pub(crate) fn read(file: &Path, limit: usize) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(limit as u64 + 1).read_to_string(&mut text)?;
    if text.len() > limit {
        return Err(io::Error::other(format!(
            "the file has more than {limit} bytes (script_limits: source)"
        )));
    }
    Ok(text)
}

fn is_identifier(part: &str) -> bool {
    let mut bytes = part.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stand_for_files() {
        let name = Name::parse("chat::server::connect").unwrap();
        assert_eq!((name.module().as_str(), name.function.as_deref()), ("chat::server", Some("connect")));
        assert_eq!(name.file(), Path::new("chat/server.rhai"));
        let module = Name::parse("chat::server::").unwrap();
        assert_eq!((module.file(), module.function), (name.file(), None));
    }

    #[test]
    fn what_is_no_name_stands_for_nothing() {
        for text in [
            "",
            "::",
            "connect",
            "::connect",
            "a::::b",
            "a:b::c",
            "../../etc/passwd",
            "..::..::etc::passwd",
            "a::..::b",
            "/etc::passwd",
            "a/b::c",
            "a\\b::c",
            "a\0::b",
            "a.b::c",
            "a::b.rhai",
            "a::anon$1",
            "ä::b",
            "1a::b",
            " a::b",
        ] {
            assert_eq!(Name::parse(text), None, "{text:?}");
        }
        assert_eq!(Name::parse(&"a::".repeat(100)), None);
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_search_path(text in "[a-z./:_\\\\\0]{0,40}|(\\.\\.|a|/|::){0,12}") {
            if let Some(name) = Name::parse(&text) {
                let file = name.file();
                prop_assert!(file.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
