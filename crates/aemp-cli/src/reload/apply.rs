//! Reading the settings again in a node that runs.

use aemp::Node;
use aemp_config::{Arguments, Effect, Key, Loaded, Settings};

use crate::failure::Failure;
use crate::logging::{self, Logging};
use crate::order::Reloaded;
use crate::reload::watch::{self, Following};

/// What helps with a setting that a running node cannot follow.
const RESTART: &str = "the node has to be started again for it (aemp restart, or the service manager)";

/// The settings that are in force, and where they come from.
pub(crate) struct Reloader {
    /// As they were typed: what these name, such as the file with the secret, is read again, too.
    typed: Vec<String>,
    /// As they were read first: what came on standard input does not come again.
    arguments: Arguments,
    logging: Logging,
    loaded: Loaded,
    following: Following,
}

impl Reloader {
    /// Reads the settings for the first time.
    pub(crate) fn start(typed: &[String], logging: &Logging) -> Result<Reloader, Failure> {
        let arguments = Arguments::parse(typed)?;
        let loaded = Loaded::read(&arguments)?;
        let (typed, logging, following) = (typed.to_vec(), logging.clone(), Following::default());
        let reloader = Reloader { typed, arguments, logging, loaded, following };
        reloader.follow_log_filter(&reloader.loaded.settings)?;
        Ok(reloader)
    }

    /// Has the node follow its seeds where these can change by themselves.
    pub(crate) fn follow_seeds(&mut self, node: &Node) {
        self.following = watch::follow(node, self.settings());
    }

    /// The settings that are in force.
    pub(crate) fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Reads them again, and has the node follow those that it can. If something is wrong, nothing
    /// has changed.
    pub(crate) fn reload(&mut self, node: &Node) -> Result<Reloaded, Failure> {
        let outcome = self.try_reload(node);
        match &outcome {
            Ok(Reloaded { changed, refused }) => {
                tracing::info!(changed = %changed.join(","), "the settings were read again");
                for (key, why) in refused {
                    tracing::warn!(%key, "a changed setting is not followed: {why}");
                }
            }
            Err(failure) => {
                tracing::error!(
                    "the settings were not read again, and nothing has changed: {}",
                    failure.message()
                );
            }
        }
        outcome
    }

    fn try_reload(&mut self, node: &Node) -> Result<Reloaded, Failure> {
        let again = match self.typed.iter().any(|text| text == "-") {
            true => self.arguments.clone(),
            false => Arguments::parse(&self.typed)?,
        };
        let new = Loaded::read(&again)?;
        // A filter can be wrong in a way that only the one who uses it sees: so it comes first.
        self.follow_log_filter(&new.settings)?;
        // They may have changed by themselves since.
        if let Some(seeds) = self.following.stop() {
            self.loaded.settings.seeds = seeds;
        }
        let mut reloaded = Reloaded::default();
        let mut changed: Vec<Key> = self.loaded.effective.changed(&new.effective).collect();
        if self.loaded.settings.seeds != new.settings.seeds && changed.iter().all(|key| key.name != "seeds") {
            changed.extend(Key::find("seeds"));
        }
        for key in changed {
            let outcome = match key.effect() {
                Effect::AtOnce | Effect::NextConnection => follow(node, key, &new.settings),
                Effect::Restart => Err(RESTART.into()),
                Effect::Never => continue,
            };
            match outcome {
                Ok(()) => reloaded.changed.push(key.name.into()),
                Err(why) => reloaded.refused.push((key.name.into(), why)),
            }
        }
        self.keep(new, &reloaded);
        self.follow_seeds(node);
        Ok(reloaded)
    }

    /// Remembers what is in force: what was refused is as before, and is named again next time.
    fn keep(&mut self, mut new: Loaded, reloaded: &Reloaded) {
        for (key, _) in &reloaded.refused {
            match self.loaded.effective.settings.get(key) {
                Some(old) => new.effective.settings.insert(key.clone(), old.clone()),
                None => new.effective.settings.remove(key),
            };
        }
        self.loaded = new;
    }

    fn follow_log_filter(&self, settings: &Settings) -> Result<(), Failure> {
        if self.logging.filter().is_some() {
            return Ok(()); // of the command line, which wins
        }
        logging::set_filter(settings.log_filter.as_deref().unwrap_or(logging::OF_NODES))
    }
}

/// Has the node follow one setting.
fn follow(node: &Node, key: Key, settings: &Settings) -> Result<(), String> {
    let restart = |error: aemp::ChangeError| error.to_string();
    match key.name {
        "seeds" => node.set_seeds(&settings.seeds).map_err(restart),
        "secure" => {
            node.set_secure(settings.secure);
            Ok(())
        }
        // It was set before anything else.
        "log_filter" => Ok(()),
        "secret" => {
            let secret = settings.secret.as_ref().map(|secret| secret.bytes().to_vec());
            node.set_secret(secret.unwrap_or_default()).map_err(restart)
        }
        "cert" => match &settings.certificate {
            Some(pem) => node.set_certificate_pem(pem.bytes()).map_err(restart),
            None => Err(RESTART.into()),
        },
        _ => Err(RESTART.into()),
    }
}
