//! All interleavings of the code between threads, tried with loom.
//!
//! The modules are those of the library, compiled here once more with loom's primitives in `sync`,
//! so what is checked is what runs. loom also tries what a weaker memory than that of the usual
//! processors allows: without its fences, `sleepers` fails here.
//!
//! Each model is a file. `mistakes` has broken copies of the library's modules, made by the build
//! script; the models find all of them.

#![cfg(test)]
#![allow(dead_code, unreachable_pub)] // the models use a part of what the library uses

#[path = "../../crates/aemp-ports/src/decision.rs"]
mod decision;
#[path = "../../crates/aemp-ports/src/doom.rs"]
mod doom;
#[path = "../../crates/aemp-ports/src/mailbox_limits.rs"]
mod mailbox_limits;
#[path = "../../crates/aemp-ports/src/port_no.rs"]
mod port_no;
#[path = "../../crates/aemp-ports/src/reply_slot.rs"]
mod reply_slot;
#[path = "../../crates/aemp-ports/src/sleepers.rs"]
mod sleepers;
#[path = "../../crates/aemp-ports/src/slot.rs"]
mod slot;
#[path = "../../crates/aemp-ports/src/table.rs"]
mod table;
#[path = "../../crates/aemp/src/runtime/write_turn.rs"]
mod write_turn;

// Modules of the library find its `sync` there.
extern crate self as aemp_ports;

mod guards;
mod hand_over;
mod kills;
mod replies;
mod runners;
mod stand_ins;
mod sync;
mod writing;

use std::env;
use std::process::Command;

use stand_ins::{actor, extra, host, known, mailbox};

/// Broken copies, each with the test that a model finds what is wrong.
mod mistakes {
    include!(concat!(env!("OUT_DIR"), "/mistakes.rs"));
}

/// The variable that tells a process of which mistake it has to run the model.
const MISTAKE: &str = "AEMP_MODELS_MISTAKE";

/// Checks that a model fails: in a process of its own, which may end by a second panic when it
/// cleans up after the first one.
fn is_found(mistake: &str, model: fn()) {
    if env::var_os(MISTAKE).is_some() {
        return model();
    }
    let test = format!("mistakes::{mistake}::is_found");
    let mut process = Command::new(env::current_exe().expect("this process has a file"));
    let output =
        process.args(["--exact", &test, "--nocapture"]).env(MISTAKE, mistake).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("panicked at"), "no model has found this mistake");
}

/// Tries all interleavings in which threads are interrupted up to this often.
fn check(interruptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.check(model);
}
