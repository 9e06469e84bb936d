//! The services that come with the command: functions that `services` in the configuration, or
//! another node by `spawn`, can name.

mod echo;
mod global;
pub(crate) mod log_catcher;
mod sink;

use aemp::Builder;
use aemp_config::{ConfigError, Settings};

use crate::failure::Failure;

/// Registers all of them.
pub(crate) fn register(builder: Builder) -> Builder {
    builder
        .function(global::NAME, global::init)
        .function(echo::NAME, echo::init)
        .function(sink::NAME, sink::init)
        .function(log_catcher::NAME, log_catcher::init())
}

/// Checks that the configured services are among them, or among `others`, and gives the global
/// service its name here: a configuration that is shared with Perl nodes names the module of Perl.
pub(crate) fn check(settings: &mut Settings, others: &[&str]) -> Result<(), Failure> {
    // Loads Perl's module, which lets others catch the log. Every node of ours does.
    settings.services.retain(|service| service.function != "AnyEvent::MP::LogCatcher::");
    for service in &mut settings.services {
        if service.function == "AnyEvent::MP::Global::" {
            service.function = global::NAME.into();
        }
        let known = [&[global::NAME, echo::NAME, sink::NAME, log_catcher::NAME], others].concat();
        if !known.contains(&service.function.as_str()) {
            return Err(ConfigError::BadValue {
                key: "services".into(),
                expected: known.join(", "),
                found: service.function.clone(),
            }
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aemp_config::Arguments;

    fn checked(services: &str) -> Result<Vec<String>, Failure> {
        let mut settings = Settings::load(&Arguments::parse(["norc", "1", "services", services])?)?;
        check(&mut settings, &["demo::worker"])?;
        Ok(settings.services.into_iter().map(|service| service.function).collect())
    }

    #[test]
    fn only_known_services_are_taken() {
        let known =
            checked("AnyEvent::MP::Global::,AnyEvent::MP::LogCatcher::,aemp::echo,demo::worker").unwrap();
        assert_eq!(known, ["aemp::global", "aemp::echo", "demo::worker"]);
        assert!(checked("aemp::nothing").is_err());
    }
}
