#![doc = include_str!("../README.md")]
//!
//! # Reading order
//!
//! `host` has the scripts of a node and loads them, `port` runs them in ports, `run` is one call into a script and its limits,
//! `effect` what a script has asked for and is done afterwards, `verbs` what it can ask for.

mod code;
mod effect;
mod engine;
mod entry;
mod host;
mod limits;
mod names;
mod port;
mod quota;
mod run;
mod session;
mod values;
mod verbs;

pub use host::{LoadError, Scripts};
pub use limits::{LimitError, Limits};
