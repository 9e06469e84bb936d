//! What is found: how bad it is, where, why, and what to do.

use std::fmt::Display;
use std::path::PathBuf;

use aemp_config::{Arguments, ConfigFile, Places};
use clap::ValueEnum;
use serde_json::json;

use crate::failure::Failure;
use crate::values::escaped;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// One line for Nagios and what is like it
    Nagios,
}

/// How bad it is, as exit statuses have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning = 1,
    Error = 2,
}

/// One fault.
#[derive(Debug)]
pub(crate) struct Finding {
    severity: Severity,
    /// The setting that it is about.
    key: String,
    cause: String,
    remedy: String,
}

impl Finding {
    pub(crate) fn error(key: &str, cause: impl Display, remedy: impl Display) -> Finding {
        Finding {
            severity: Severity::Error,
            key: key.into(),
            cause: cause.to_string(),
            remedy: remedy.to_string(),
        }
    }

    pub(crate) fn warning(key: &str, cause: impl Display, remedy: impl Display) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(key, cause, remedy) }
    }

    fn severity(&self) -> &'static str {
        if self.severity == Severity::Error { "error" } else { "warning" }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    /// The configuration file, and its text, to name lines of.
    file: Option<(PathBuf, String)>,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    /// Findings are looked for in the file that these arguments have read.
    pub(crate) fn file_of(&mut self, arguments: &Arguments) {
        if arguments.norc {
            return;
        }
        let Ok(file) = ConfigFile::open(&Places::from_env()) else { return };
        if let Ok(text) = std::fs::read_to_string(file.path()) {
            if file.is_exposed() {
                self.add(Finding::warning(
                    "file",
                    "everybody on this machine can read it, and there are secrets in it",
                    format_args!("chmod o= {}", file.path().display()),
                ));
            }
            self.file = Some((file.path().to_owned(), text));
        }
    }

    /// Leaves those that are among others too: what is gone by now was on its way.
    pub(crate) fn keep(&mut self, others: &Findings) {
        let is_there = |one: &Finding| {
            others.found.iter().any(|other| (one.severity, &one.key) == (other.severity, &other.key))
        };
        self.found.retain(is_there);
    }

    /// Prints them; their status is that of the command.
    pub(crate) fn print(&self, format: Format) -> Result<(), Failure> {
        crate::print(&match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
            Format::Nagios => self.nagios(),
        })?;
        match self.status() {
            0 => Ok(()),
            status => Err(Failure::passed_on(status)),
        }
    }

    /// The exit status: that of the worst.
    pub(crate) fn status(&self) -> i32 {
        self.found.iter().map(|finding| finding.severity as i32).max().unwrap_or(0)
    }

    /// The line of the file on which a setting stands first.
    fn line(&self, key: &str) -> Option<usize> {
        let (_, text) = self.file.as_ref()?;
        let name = format!("\"{key}\"");
        Some(text.lines().position(|line| line.contains(&name))? + 1)
    }

    fn place(&self, key: &str) -> String {
        match (&self.file, self.line(key)) {
            (Some((path, _)), Some(line)) => format!(" ({}, line {line})", path.display()),
            _ => String::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.found {
            let (key, cause) = (escaped(&finding.key), escaped(&finding.cause));
            let place = self.place(&finding.key);
            text += &format!(
                "{}: {key}{place}: {cause}\n  remedy: {}\n",
                finding.severity(),
                escaped(&finding.remedy)
            );
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let count = |severity| self.found.iter().filter(|finding| finding.severity == severity).count();
        match (count(Severity::Error), count(Severity::Warning)) {
            (0, 0) => "nothing was found".into(),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        }
    }

    pub(crate) fn json(&self) -> String {
        let findings = self.found.iter().map(|finding| {
            json!({
                "severity": finding.severity(), "key": finding.key, "line": self.line(&finding.key),
                "cause": finding.cause, "remedy": finding.remedy,
            })
        });
        let file = self.file.as_ref().map(|(path, _)| path.display().to_string());
        let findings: Vec<_> = findings.collect();
        crate::values::json_text(&json!({"status": self.status(), "file": file, "findings": findings}))
    }

    pub(crate) fn nagios(&self) -> String {
        let word = ["OK", "WARNING", "CRITICAL"][usize::try_from(self.status()).unwrap_or(2).min(2)];
        let causes = self.found.iter().map(|finding| format!("{}: {}", finding.key, finding.cause));
        let causes = causes.map(|cause| escaped(&cause).replace('|', "/")).collect::<Vec<_>>().join("; ");
        let more = if causes.is_empty() { String::new() } else { format!(": {causes}") };
        format!("AEMP {word} - {}{more}", self.summary())
    }

    /// How bad each is, and of which setting.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> Vec<(u8, String)> {
        self.found.iter().map(|finding| (finding.severity as u8, finding.key.clone())).collect()
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_have_a_line_a_cause_and_a_remedy_in_each_format() {
        let mut findings = Findings::default();
        assert_eq!((findings.status(), &*findings.text()), (0, "nothing was found"));
        assert_eq!(findings.nagios(), "AEMP OK - nothing was found");
        findings.file = Some(("conf".into(), "{\n \"seeds\": [],\n \"secret\": 1}".into()));
        findings.add(Finding::warning("secret", "short", "longer"));
        assert_eq!(findings.status(), 1);
        findings.add(Finding::error("nodeid", "a|b", "c"));
        assert_eq!(
            findings.text(),
            "warning: secret (conf, line 3): short\n  remedy: longer\nerror: nodeid: a|b\n  remedy: c\n1 error, 1 warning"
        );
        assert_eq!(findings.nagios(), "AEMP CRITICAL - 1 error, 1 warning: secret: short; nodeid: a/b");
        let json: serde_json::Value = serde_json::from_str(&findings.json()).unwrap();
        assert_eq!((&json["status"], &json["findings"][0]["line"]), (&2.into(), &3.into()));
    }
}
