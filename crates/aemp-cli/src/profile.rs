//! The commands about profiles: `profile`, `setparent`, `showconfig` and so on.

use aemp_config::{Arguments, ConfigFile, Host, KEYS, Key, Shape, effective, parse_text};
use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;
use crate::inspect::known::proposal;
use crate::session::Session;

/// Profiles, and what is in them.
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Let the commands that follow change this profile, which is made if needed
    #[command(name = "profile")]
    Select {
        /// Its name
        #[arg(value_parser = parse_text)]
        name: String,
    },
    /// Remove a profile
    #[command(name = "delprofile")]
    Delete {
        /// Its name
        #[arg(value_parser = parse_text)]
        name: String,
    },
    /// Set the profile from which this one inherits
    #[command(name = "setparent", visible_alias = "parent")]
    SetParent {
        /// Its name
        #[arg(value_parser = parse_text)]
        name: String,
    },
    /// Remove the parent, so that the profile inherits from the global settings
    #[command(name = "delparent")]
    UnsetParent,
    /// Let commands that talk to a network use this profile where none is named
    ///
    /// It stands in the configuration file. `--profile` and $AEMP_PROFILE win over it; without any
    /// of them it is the profile called aemp. `run` and `showconfig` do not use it: theirs has this
    /// host's name. Without NAME the name is printed.
    #[command(name = "use")]
    Use {
        /// Its name
        #[arg(value_parser = parse_text)]
        name: Option<String>,
        /// Use none any more
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Show the settings of a profile, without those that it inherits
    #[command(name = "showprofile")]
    Show {
        /// Its name
        #[arg(value_parser = parse_text)]
        name: String,
        #[command(flatten)]
        form: Form,
    },
    /// Show the settings in force for a profile, as `run` would use them
    ///
    /// By default the profile is the one with this host's name.
    ///
    /// Secrets and keys are not shown without `--secrets`.
    #[command(name = "showconfig")]
    ShowEffective {
        /// [PROFILE] [KEY VALUE]…
        #[arg(value_name = "PROFILE | KEY VALUE")]
        arguments: Vec<String>,
        #[command(flatten)]
        form: Form,
    },
}

/// How settings are shown.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// Print the settings in one line
    #[arg(long)]
    json: bool,
    /// Show secrets and keys too
    #[arg(long)]
    secrets: bool,
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
            Profile::Use { name: Some(name), .. } => {
                let known: Vec<String> = session.file()?.profiles().map(str::to_owned).collect();
                if !known.contains(&name) {
                    let like = proposal(&name, known.iter());
                    return Err(Failure::usage(format!("{name}: there is no such profile{like}")));
                }
                session.use_profile(Some(&name))?;
            }
            Profile::Use { none: true, .. } => session.use_profile(None)?,
            Profile::Use { name: None, none: false } => {
                crate::print(session.file()?.used_profile().unwrap_or("aemp"))?;
            }
            Profile::SetParent { name } => {
                session.section_mut()?.insert("parent".into(), json!(name));
            }
            Profile::UnsetParent => {
                session.section_mut()?.remove("parent");
            }
            Profile::Show { name, form } => {
                let file = session.file()?;
                let settings = file.section(Some(&name));
                if settings.is_none() {
                    note(file, &name);
                }
                form.print(settings.cloned().unwrap_or_default())?;
            }
            Profile::ShowEffective { arguments, form } => {
                let arguments = Arguments::parse(&arguments)?;
                let file = if arguments.norc { None } else { Some(session.file()?) };
                if let Some(file) = file {
                    arguments.check_profile(file)?;
                }
                form.print(effective(file, &arguments, &Host::current())?.settings)?;
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

impl Form {
    /// Prints settings as JSON.
    fn print(&self, mut settings: Map<String, Json>) -> Result<(), Failure> {
        for Key { name, .. } in KEYS.iter().filter(|key| key.shape == Shape::Secret && !self.secrets) {
            if let Some(value) = settings.get_mut(*name) {
                let length = value.as_str().map_or(0, |text| text.chars().count());
                *value = json!(format!("({length} characters, not shown)"));
            }
        }
        let print = if self.json { serde_json::to_string } else { serde_json::to_string_pretty };
        crate::print(&print(&settings).map_err(Failure::failed)?)
    }
}
