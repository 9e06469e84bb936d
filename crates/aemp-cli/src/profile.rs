//! The commands about profiles: `profile`, `setparent`, `showconfig` and so on.

use aemp::config::{Arguments, ConfigFile, Host, KEYS, Key, Shape, effective};
use clap::Subcommand;
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;
use crate::session::Session;

/// Profiles, and what is in them.
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Let the commands that follow change this profile, which is made if needed
    #[command(name = "profile")]
    Select {
        /// Its name
        name: String,
    },
    /// Remove a profile
    #[command(name = "delprofile")]
    Delete {
        /// Its name
        name: String,
    },
    /// Set the profile from which this one inherits
    #[command(name = "setparent", visible_alias = "parent")]
    SetParent {
        /// Its name
        name: String,
    },
    /// Remove the parent, so that the profile inherits from the global settings
    #[command(name = "delparent")]
    UnsetParent,
    /// Show the settings of a profile, without those that it inherits
    #[command(name = "showprofile")]
    Show {
        /// Its name
        name: String,
    },
    /// Show the settings in force for a profile (by default the one with this host's name), as `run` would use them
    ///
    /// Secrets and keys are not shown; they are in the file.
    #[command(name = "showconfig")]
    ShowEffective {
        /// [PROFILE] [KEY VALUE]…
        #[arg(value_name = "PROFILE | KEY VALUE")]
        arguments: Vec<String>,
    },
}

impl Profile {
    /// Carries the command out.
    pub(crate) fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Profile::Select { name } => session.select(&name)?,
            Profile::Delete { name } => {
                if !session.remove_profile(&name)? {
                    note(session.file()?, &name);
                }
            }
            Profile::SetParent { name } => {
                session.section_mut()?.insert("parent".into(), json!(name));
            }
            Profile::UnsetParent => {
                session.section_mut()?.remove("parent");
            }
            Profile::Show { name } => {
                let file = session.file()?;
                let settings = file.section(Some(&name));
                if settings.is_none() {
                    note(file, &name);
                }
                show(settings.cloned().unwrap_or_default())?;
            }
            Profile::ShowEffective { arguments } => {
                let arguments = Arguments::parse(&arguments)?;
                let file = if arguments.norc { None } else { Some(session.file()?) };
                show(effective(file, &arguments, &Host::current())?.settings)?;
            }
        }
        Ok(())
    }
}

/// Says on stderr that a profile is not there, which is no error: it has no settings.
fn note(file: &ConfigFile, name: &str) {
    let others = match file.profiles().collect::<Vec<_>>().join(", ") {
        others if others.is_empty() => "and no other one".to_owned(),
        others => format!("but {others}"),
    };
    eprintln!("aemp: there is no profile {name} in {}, {others}", file.path().display());
}

/// Prints settings as JSON, without what must stay secret.
fn show(mut settings: Map<String, Json>) -> Result<(), Failure> {
    for Key { name, .. } in KEYS.iter().filter(|key| key.shape == Shape::Secret) {
        if let Some(value) = settings.get_mut(*name) {
            *value = json!(format!(
                "({} characters, not shown)",
                value.as_str().map_or(0, |text| text.chars().count())
            ));
        }
    }
    let text = serde_json::to_string_pretty(&settings).map_err(Failure::failed)?;
    crate::print(&text)
}
