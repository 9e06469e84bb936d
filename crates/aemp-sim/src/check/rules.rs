//! The rules by name: what each one says, and whether it judges histories that were written from
//! outside of the library.

/// A rule that the checkers know.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name, as a violation has it.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Why it does not judge the histories of real processes, if it does not.
    pub inside_only: Option<&'static str>,
}

/// A rule that judges every history.
const fn rule(name: &'static str, says: &'static str) -> Rule {
    Rule { name, says, inside_only: None }
}

/// A rule that needs to know what only the simulator sees.
const fn inside(name: &'static str, says: &'static str, why: &'static str) -> Rule {
    Rule { name, says, inside_only: Some(why) }
}

/// All of them. In histories from outside, M4 and M7 judge each sender by itself, and M4 only by
/// monitors that tell the sender itself.
pub const RULES: [Rule; 63] = [
    rule("M1", "what is received was sent, to this port, and is what was sent"),
    rule("M2", "nothing is received twice"),
    rule("M3", "what one sender sends to a port arrives in order"),
    rule("M4", "after a lost message nothing later arrives before the monitors have fired"),
    rule("M5", "what is lost makes every monitor fire, in time"),
    rule("M6", "no monitor tells of a loss where nothing was wrong"),
    rule("M7", "on one node a message to a living port arrives"),
    rule("M8", "what is sent after a kill is not received"),
    rule("M9", "nothing is received after a death"),
    rule("M10", "a new connection brings nothing of an old one: a case of M4"),
    rule("M11", "a full outbox is a loss of the connection: a case of M4"),
    inside(
        "M12",
        "what one sender sends to different ports of a node arrives in order",
        "ports do not tell in which order their messages arrived at the node",
    ),
    rule("M13", "after the last fault what is sent to a living port arrives"),
    rule("MON1", "a monitor fires once"),
    rule("MON2", "a monitor of what is dead or lost fires, in time"),
    rule("MON3", "a monitor that was withdrawn does not fire"),
    rule("MON4", "it fires also if the port was dead before: a case of MON2"),
    rule("MON5", "its reason is that of the death, or of a loss, or says that there is no such port"),
    rule("MON6", "several monitors of a port fire each by itself: by looking at each alone"),
    rule("MON7", "the last messages of a port come before the news of its death"),
    inside("MON8", "both ends have the same list of monitors, and nothing stays gated", TABLES),
    inside("MON9", "nothing is kept for a monitor that is over: by MON8", TABLES),
    rule("C1", "a call ends once"),
    rule("C2", "a call ends in time"),
    rule("C3", "a call ends with what its port has got"),
    inside(
        "L1",
        "who is linked to a port dies with it",
        "a monitor that kills shows nothing of its own; MON2 and M5 find one that has not killed",
    ),
    inside(
        "B1",
        "what handlers send to ports of their node fills no mailbox",
        "mailboxes are limited in bytes of memory, which no history knows",
    ),
    rule("D1", "a node that is shut down delivers what was sent before"),
    rule("P1", "names of ports are new"),
    rule("P2", "a port of one run of a node gets nothing in another run"),
    rule("K1", "a port dies once"),
    rule("K2", "every monitor gets the reason of this death: by MON5"),
    rule("S1", "a spawned function runs once at most"),
    rule("S2", "it runs before the port gets anything"),
    rule("S3", "a port whose function never ran gets nothing"),
    rule("S4", "only registered functions run, and only those that somebody has asked for"),
    rule("N1", "up and down alternate"),
    rule("N2", "the callbacks of monitors have run when a node is down"),
    rule("N3", "and so before it is up again: by N1 and N2"),
    rule("N4", "two nodes agree on whether they are connected, and stay so when the network has healed"),
    rule("N5", "nothing is lost without a fault"),
    rule("N6", "only the present run of a node is up"),
    rule("N7", "everything comes to rest"),
    inside("N8", "a run has an end", "it is found while the simulator runs"),
    rule("NET1", "seeds are connected to"),
    rule("NET2", "global nodes are connected to each other"),
    rule("NET3", "also those that were not told of each other: by NET2"),
    inside("NET4", "dialling has a pace", DIALS),
    inside("NET5", "nobody goes on dialling itself", DIALS),
    rule("DB1", "in the end everybody sees the same content, of those who live"),
    rule("DB2", "what was deleted is gone: by DB1"),
    rule("DB3", "each key has a value that one of its living owners has set last: by DB1"),
    rule("DB4", "what nodes had that are gone is gone: by DB1"),
    rule("DB5", "without faults a value never goes back"),
    rule("DB6", "the changes that a watch tells lead to the content that it tells"),
    rule("DB7", "they are disjoint, true and not empty, and the first content comes"),
    rule("DB8", "a question has one answer"),
    rule("DB9", "entries of ports go with them: by DB1"),
    rule("DB10", "a watch that was ended tells nothing"),
    rule("F1", "what one end of a connection writes before a mark the other end has taken there"),
    rule("F2", "nothing is taken from a connection that was not written to it"),
    rule("F3", "what one end writes the other one can read"),
    rule("F4", "of frames that are numbered none is left out"),
];

const TABLES: &str = "the library does not show its tables";
const DIALS: &str = "the library does not show whom it dials";

#[cfg(test)]
mod tests {
    use super::*;

    /// What the checkers report.
    const SOURCES: [&str; 9] = [
        include_str!("calls.rs"),
        include_str!("database.rs"),
        include_str!("frames.rs"),
        include_str!("messages.rs"),
        include_str!("monitors.rs"),
        include_str!("nodes.rs"),
        include_str!("ports.rs"),
        include_str!("pressure.rs"),
        include_str!("shutdown.rs"),
    ];

    #[test]
    fn what_is_reported_is_a_rule() {
        let known = |name: &str| RULES.iter().any(|rule| rule.name == name);
        let is_rule = |text: &&str| {
            text.starts_with(char::is_uppercase) && text.ends_with(|c: char| c.is_ascii_digit())
        };
        for source in SOURCES {
            let texts = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| line.split('"'));
            texts.filter(is_rule).for_each(|name| assert!(known(name), "{name}"));
        }
    }

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
