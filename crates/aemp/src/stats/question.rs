//! The questions for what a node counts, as they travel: code that is known, to be evaluated.

use crate::follow::Rule;

/// What stands before the words of a question.
const PREFIX: &str = "() # aemp ";

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    Stats,
    Lost,
    Ports(usize),
    Follow(Rule),
    Hops(u64),
    /// The records from one place up to another one.
    Dump {
        from: u64,
        end: u64,
    },
}

impl Question {
    /// The code that asks.
    pub(super) fn code(&self) -> String {
        match self {
            Question::Stats => format!("{PREFIX}stats"),
            Question::Lost => format!("{PREFIX}lost"),
            Question::Ports(limit) => format!("{PREFIX}ports {limit}"),
            Question::Follow(rule) => format!("{PREFIX}follow {rule}"),
            Question::Hops(from) => format!("{PREFIX}hops {from}"),
            Question::Dump { from, end } => format!("{PREFIX}dump {from} {end}"),
        }
    }

    /// The question that this code asks.
    pub(crate) fn read(code: &str) -> Option<Question> {
        let (what, argument) =
            code.strip_prefix(PREFIX)?.split_once(' ').unwrap_or((&code[PREFIX.len()..], ""));
        match (what, argument) {
            ("stats", "") => Some(Question::Stats),
            ("lost", "") => Some(Question::Lost),
            ("follow", rule) => Some(Question::Follow(rule.parse().ok()?)),
            ("hops", from) => Some(Question::Hops(from.parse().ok()?)),
            ("ports", limit) => Some(Question::Ports(limit.parse().ok()?)),
            ("dump", places) => {
                let (from, end) = places.split_once(' ')?;
                Some(Question::Dump { from: from.parse().ok()?, end: end.parse().ok()? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_is_asked_and_nothing_else_is_one() {
        let rule = "3 20 tag a tag".parse().expect("a rule");
        let dump = Question::Dump { from: 3, end: u64::MAX };
        let asked = [
            Question::Stats,
            Question::Lost,
            Question::Ports(7),
            Question::Follow(rule),
            Question::Hops(8),
            dump,
        ];
        for question in asked {
            assert_eq!(Question::read(&question.code()), Some(question));
        }
        for other in [
            "",
            "stats",
            "() # aemp",
            "() # aemp stats x",
            "() # aemp ports",
            "() # aemp follow x",
            "() # aemp hops",
            "() # aemp eval 1",
            "() # aemp dump 1",
        ] {
            assert_eq!(Question::read(other), None, "{other}");
        }
    }
}
