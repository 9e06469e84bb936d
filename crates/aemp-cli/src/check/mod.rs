//! `aemp check`: whether a node could run with these settings, without running it.
//!
//! [`finding`] is what is said of each fault, [`settings`] what is wrong in the settings
//! themselves, [`machine`] what is wrong with them on this machine, [`network`] what the seeds say.

pub(crate) mod finding;
mod machine;
mod network;
mod settings;

use aemp_config::{Arguments, ConfigError, Settings};
use clap::Args;

use crate::client::Limit;
use crate::failure::Failure;
use finding::{Finding, Findings, Format};

/// Check settings without running a node
///
/// Takes what `run` takes. Looks whether the settings can be used, whether this machine lets the
/// node listen, and whether the seeds let it in; joins the network for that as a client, which
/// nobody takes notice of. Each finding has its place, its cause and a remedy.
///
/// Exit status: 0 nothing was found, 1 warnings only, 2 errors.
#[derive(Debug, Args)]
#[command(after_help = "Example: aemp check server")]
pub(crate) struct Check {
    /// [PROFILE] [KEY VALUE]… as `run` takes them
    #[arg(value_name = "PROFILE | KEY VALUE", trailing_var_arg = true)]
    arguments: Vec<String>,
    /// How the findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Do not contact the seeds
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    limit: Limit,
}

impl Check {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.findings().await.print(self.format)
    }

    async fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let loaded = Arguments::parse(&self.arguments)
            .and_then(|arguments| Settings::load(&arguments).map(|settings| (arguments, settings)));
        let (arguments, settings) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                findings.add(unusable(&error));
                return findings;
            }
        };
        findings.file_of(&arguments);
        settings::check(&settings, &mut findings);
        machine::check(&settings, &mut findings).await;
        if !self.offline && !settings.seeds.is_empty() {
            network::check(&self.arguments, &settings, self.limit.timeout, &mut findings).await;
        }
        findings
    }
}

/// Settings that cannot be used at all.
fn unusable(error: &ConfigError) -> Finding {
    let (key, remedy) = match error {
        ConfigError::UnknownKey { key, .. } => (key.as_str(), "write the name of a setting that there is"),
        ConfigError::BadValue { key, .. } => (key.as_str(), "write a value of the form that is expected"),
        ConfigError::NodeId { .. } => ("nodeid", "choose another node ID"),
        ConfigError::Certificate(_) => ("cert", "make a certificate with `aemp gencert`, or have one made"),
        ConfigError::ParentLoop { .. } => ("parent", "give one of the profiles another parent"),
        ConfigError::Read { .. } | ConfigError::Corrupt { .. } => ("file", "mend the file"),
        _ => ("arguments", "see `aemp run --help`"),
    };
    Finding::error(key, error, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(arguments: &[&str]) -> Vec<(u8, String)> {
        let arguments = ["norc", "1"].iter().chain(arguments).map(ToString::to_string).collect();
        let limit = Limit { timeout: std::time::Duration::from_secs(10) };
        let check = Check { arguments, format: Format::Text, offline: true, limit };
        check.findings().await.keys()
    }

    /// What is good but for one thing.
    const GOOD: [&str; 6] =
        ["nodeid", "x", "secret", "correct-horse-battery-staple-01", "binds", "127.0.0.1:0"];

    async fn with(more: &[&str]) -> Vec<(u8, String)> {
        let mut arguments = GOOD.to_vec();
        arguments.extend(["seeds", "127.0.0.1:4040"]);
        arguments.extend(more);
        found(&arguments).await
    }

    #[tokio::test]
    async fn good_settings_are_not_complained_of() {
        assert_eq!(with(&[]).await, []);
    }

    #[tokio::test]
    async fn each_fault_is_found_under_the_name_of_its_setting() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let faults: &[(u8, &str, &[&str])] = &[
            (2, "sceret", &["sceret", "x"]),
            (2, "secure", &["secure", "perhaps"]),
            (2, "nodeid", &["nodeid", "a b"]),
            (2, "cert", &["cert", "no PEM"]),
            (2, "monitor_timeout", &["monitor_timeout", "0.5"]),
            (2, "connect_interval", &["connect_interval", "0.01"]),
            (2, "framing_format", &["framing_format", "xml"]),
            (2, "auth_offer", &["auth_offer", "rot13"]),
            (2, "services", &["services", "no::such"]),
            (2, "scripts", &["scripts", "/nonexistent"]),
            (2, "ws", &["ws", "127.0.0.1:0"]),
            (2, "ws_clients", &["ws", "127.0.0.1:0", "ws_clients", "/nonexistent"]),
            (2, "seeds", &["seeds", "127.0.0.1:0"]),
            (2, "advertise", &["advertise", "a:b:c"]),
            (2, "binds", &["binds", &taken]),
            (2, "binds", &["binds", "192.0.2.1:4040"]),
            (2, "metrics", &["metrics", &taken]),
            (2, "arguments", &["profile"]),
            (1, "secret", &["secret", "short"]),
            (1, "seeds", &["seeds", "[]"]),
            (1, "script_eval", &["script_eval", "1"]),
            (1, "metrics", &["metrics", "0.0.0.0:0"]),
            (1, "behind_nat", &["behind_nat", "1", "seeds", "[]"]),
        ];
        for (severity, key, arguments) in faults {
            let found = with(arguments).await;
            assert!(found.contains(&(*severity, (*key).to_owned())), "{arguments:?}: {found:?}");
        }
        let open = found(&["nodeid", "x", "binds", "0.0.0.0:0"]).await;
        assert!(open.contains(&(2, "secret".into())), "{open:?}");
    }
}
