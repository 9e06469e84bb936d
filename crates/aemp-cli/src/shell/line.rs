//! A line of the shell: what it asks for, and the code that a node gets of it.

use aemp::{NameError, NodeId, PortId};

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing.
    Blank,
    /// The list of nodes.
    Nodes,
    /// That lines go to this node from now on.
    Switch(NodeId),
    /// That Perl evaluates in this package from now on.
    Package(String),
    /// That this code is evaluated.
    Code(String),
}

/// What a node evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Perl, with packages.
    Perl,
    /// The scripts of our nodes.
    Script,
}

/// Reads a line.
///
/// # Errors
///
/// What stands behind `=` is not a node ID.
pub(super) fn parse(line: &str, language: Language) -> Result<Line, NameError> {
    let line = line.trim();
    if let Some(node) = line.strip_prefix('=') {
        let node = node.trim();
        return if node.is_empty() { Ok(Line::Nodes) } else { NodeId::new(node).map(Line::Switch) };
    }
    if line.is_empty() {
        return Ok(Line::Blank);
    }
    Ok(match package(line).filter(|_| language == Language::Perl) {
        Some(package) => Line::Package(package.into()),
        None => Line::Code(line.into()),
    })
}

/// The name in a line that consists of `package NAME`.
fn package(line: &str) -> Option<&str> {
    let name = line.strip_prefix("package")?;
    let name = name.strip_prefix(char::is_whitespace)?.trim().trim_end_matches(';').trim_end();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    is_name.then_some(name)
}

/// The code as it is sent: with the echo port in a variable, and on Perl nodes in a package.
pub(super) fn dress(code: &str, language: Language, package: &str, echo: &PortId) -> String {
    let escaped = |quote: char| {
        let escape = |c: char| [(c == '\\' || c == quote).then_some('\\'), Some(c)];
        echo.to_string().chars().flat_map(escape).flatten().collect::<String>()
    };
    match language {
        Language::Perl => format!("package {package}; my $ECHO = '{}'; {code}", escaped('\'')),
        // Where it is not used it would only move the columns that errors tell.
        Language::Script if code.contains("ECHO") => format!("let ECHO = \"{}\"; {code}", escaped('"')),
        Language::Script => code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let perl = |line| parse(line, Language::Perl).unwrap();
        assert_eq!(perl("  "), Line::Blank);
        assert_eq!(perl(" = "), Line::Nodes);
        assert_eq!(perl("=a/b"), Line::Switch(NodeId::new("a/b").unwrap()));
        assert_eq!(perl(" package Foo::Bar ; "), Line::Package("Foo::Bar".into()));
        for code in ["package", "packages x", "package Foo { 1 }", "1 = 2", "package A; 1"] {
            assert_eq!(perl(code), Line::Code(code.into()));
        }
        assert!(parse("=a b", Language::Perl).is_err());
        assert_eq!(parse("package x", Language::Script).unwrap(), Line::Code("package x".into()));
    }

    #[test]
    fn code_gets_the_echo_port_in_a_variable() {
        let echo = PortId::parse(r#"a'b\c"d#e"#).unwrap();
        assert_eq!(dress("1", Language::Perl, "P", &echo), r#"package P; my $ECHO = 'a\'b\\c"d#e'; 1"#);
        assert_eq!(
            dress("send(ECHO)", Language::Script, "P", &echo),
            r#"let ECHO = "a'b\\c\"d#e"; send(ECHO)"#
        );
        assert_eq!(dress("1", Language::Script, "P", &echo), "1");
    }
}
