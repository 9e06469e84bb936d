//! Configuration: the file of profiles, and what a node makes of it.
//!
//! The file is the one of the Perl tool, so that one file can serve both: a JSON object with the
//! global settings at the top level and named profiles under `"profile"`, each of which may name a
//! `"parent"`. What a node uses is found in four steps, one file each:
//!
//! 1. [`Arguments`] are read: `KEY VALUE…` as Perl's `configure` takes them,
//! 2. [`ConfigFile`] is found and read (not with `norc`),
//! 3. [`effective`] lays the profile, its parents, the global settings, the arguments and the
//!    defaults over each other,
//! 4. [`Settings`] are the outcome with types, names and addresses expanded; [`Settings::builder`]
//!    makes a node of them.
//!
//! [`Settings::load`] does all of it. Keys that nobody here knows are left alone and survive a
//! write.
//!
//! ```
//! use aemp_config::{Arguments, Settings};
//!
//! let arguments = Arguments::parse(["norc", "1", "nodeid", "worker/%u", "binds", "127.0.0.1:0"])?;
//! let settings = Settings::load(&arguments)?;
//! assert!(settings.node.as_str().starts_with("worker/"));
//! assert_eq!(settings.binds, ["127.0.0.1:0"]);
//! # Ok::<(), aemp_config::ConfigError>(())
//! ```

mod address;
mod arguments;
mod digits;
mod effective;
mod error;
mod file;
mod host;
mod json;
mod keys;
mod lock;
mod node_id;
mod places;
mod random;
mod read;
mod relaxed;
mod secret;
mod seeds;
mod settings;
#[cfg(feature = "dns")]
mod srv;
mod write;

pub use address::{DEFAULT_PORT, expand_advertise, expand_bind, expand_seed};
pub use arguments::Arguments;
pub use effective::{Effective, effective};
pub use error::ConfigError;
pub use file::{ConfigChange, ConfigFile};
pub use host::Host;
pub use json::{parse_argument, parse_text, value_from_json, value_from_text};
pub use keys::{Effect, KEYS, Key, Shape};
pub use node_id::expand_node_id;
pub use places::Places;
pub use random::random_text;
pub use secret::Secret;
pub use seeds::SeedSources;
pub use settings::{Loaded, Service, Settings};
