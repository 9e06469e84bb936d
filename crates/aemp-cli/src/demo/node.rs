//! A process of the demo: a node whose settings come through stdin, and which ends with it.

use std::io::{self, BufRead, Read};
use std::thread;

use aemp_config::{Arguments, Settings};
use clap::Args;
use serde_json::{Map, Value as Json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::worker::{self, WORKER};
use crate::failure::Failure;
use crate::logging;
use crate::{run, services};

/// A node of the demo
#[derive(Debug, Args)]
pub(crate) struct DemoNode {}

impl DemoNode {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        // Ctrl-C goes to all processes of the terminal; this one ends when the demo says so.
        let _ignored = signal(SignalKind::interrupt())
            .map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))?;
        let mut settings = settings()?;
        services::check(&mut settings, &[WORKER])?;
        let builder = settings.builder().logs(logging::source()).function(WORKER, worker::init);
        let node = services::register(builder).start().await?;
        run::announce(&node, &[], false)?;
        end_of_stdin().await;
        node.shutdown().await;
        Ok(())
    }
}

/// Reads the settings from the first line of stdin.
fn settings() -> Result<Settings, Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| Failure::failed(format!("stdin: {error}")))?;
    let settings: Map<String, Json> = serde_json::from_str(&line).map_err(|error| {
        Failure::usage(format!("the first line of stdin must hold settings as JSON: {error}"))
    })?;
    let mut arguments = Arguments::default().without_file();
    for (key, value) in &settings {
        arguments.set(key, value)?;
    }
    Ok(Settings::load(&arguments)?)
}

/// Waits for the end of stdin, which comes when the demo closes it or is no more.
async fn end_of_stdin() {
    let (sender, ended) = oneshot::channel();
    thread::spawn(move || {
        // An error of stdin is an end of it too.
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        sender.send(())
    });
    // The sender is never dropped without a message, except when the thread could not be started.
    let _ = ended.await;
}
