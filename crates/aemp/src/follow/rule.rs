//! Which messages begin a trace.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use aemp_proto::PortId;

/// The longest that a rule lasts: the one who set it may have gone.
const LONGEST: Duration = Duration::from_secs(600);

/// Messages of one kind, of which some begin a trace each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which ones.
    pub subject: Subject,
    /// How many of them.
    pub count: u32,
    /// For how long it counts, at most ten minutes.
    pub lasts: Duration,
}

/// What messages have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// They are for this port.
    Port(PortId),
    /// This is their first value, a string.
    Tag(String),
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no rule: it is a count, seconds, and `port ID` or `tag TAG`")]
pub struct RuleError(String);

impl fmt::Display for Rule {
    /// As nodes tell each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.count, self.lasts.as_secs())?;
        match &self.subject {
            Subject::Port(port) => write!(f, "port {port}"),
            Subject::Tag(tag) => write!(f, "tag {tag}"),
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        let wrong = || RuleError(text.chars().take(80).collect());
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(wrong);
        let (count, seconds, kind, subject) = (word()?, word()?, word()?, word()?);
        let count = count.parse().map_err(|_| wrong())?;
        let seconds = seconds.parse().map_err(|_| wrong())?;
        let subject = match kind {
            "port" => Subject::Port(PortId::parse(subject).map_err(|_| wrong())?),
            "tag" => Subject::Tag(subject.into()),
            _ => return Err(wrong()),
        };
        Ok(Rule { subject, count, lasts: Duration::from_secs(seconds).min(LONGEST) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let port = PortId::parse("node#port").expect("a port ID");
        for subject in [Subject::Port(port), Subject::Tag("a tag".into()), Subject::Tag(String::new())] {
            let rule = Rule { subject, count: 3, lasts: Duration::from_secs(30) };
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }

    #[test]
    fn it_does_not_last_for_ever_and_what_is_none_is_refused() {
        let long: Rule = "1 100000 tag x".parse().expect("a rule");
        assert_eq!(long.lasts, LONGEST);
        for text in ["", "1", "1 2", "1 2 tag", "x 2 tag y", "1 -2 tag y", "1 2 node y", "1 2 port "] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
