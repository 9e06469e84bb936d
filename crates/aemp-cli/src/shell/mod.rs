//! `aemp shell`: lines that nodes evaluate, one after the other.
//!
//! [`line`] is what can be typed, [`keyboard`] where it comes from, [`complete`] what Tab knows,
//! [`dialogue`] what goes to the nodes and comes back; here is the loop between them.

mod complete;
mod dialogue;
mod keyboard;
mod line;

use aemp::{Node, NodeId};
use clap::Args;

use crate::client::{self, Access};
use crate::failure::Failure;
use complete::Names;
use dialogue::Dialogue;
use keyboard::{Input, Keyboard};

/// Families that every node of ours can have, to be completed from the start.
const SERVICES: &str = "aemp::echo aemp::sink";

const HELP: &str = "\
Type code that the node evaluates: Perl on Perl nodes, scripts on others.

=            list the nodes
=NODE        switch to another node
package P    switch to package P (on Perl nodes)
$ECHO        in Perl, and ECHO in scripts: a port that shows here what is sent to it

Tab completes nodes, families and ports; Ctrl-C gives up a line, Ctrl-D ends.";

/// Have nodes evaluate what is typed, line by line
///
/// A result is printed as JSON values separated by commas. `=` lists the nodes, `=NODE` switches to
/// another node; `$ECHO` in Perl and `ECHO` in scripts is a port that shows what is sent to it.
/// Lines can also come from a pipe: then there is no prompt, and the exit status is 1 if one of
/// them failed.
///
/// The history is in $XDG_STATE_HOME/aemp/shell_history (~/.local/state/aemp/shell_history); a line
/// that begins with a blank is not kept.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Shell {
    /// The node to begin with; the one of the shell itself by default
    node: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Shell {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let start = self.node.as_deref().map(NodeId::new).transpose().map_err(Failure::usage)?;
        let node = self.access.client.join().await?;
        let ended = self.serve(&node, start).await;
        let report = client::end(&node, ended.is_ok()).await;
        ended?;
        // What the last lines have sent is confirmed by nothing else.
        report.undelivered.first().map_or(Ok(()), |lost| Err(Failure::failed(lost)))
    }

    async fn serve(&self, node: &Node, start: Option<NodeId>) -> Result<(), Failure> {
        let names = Names::default();
        let mut keyboard = Keyboard::start(names.clone())?;
        let mut dialogue = Dialogue::open(node, &self.access.limit)?;
        if let Some(start) = start {
            dialogue.switch(start, &keyboard).await.map_err(Failure::failed)?;
        }
        let database = node.db();
        if keyboard.is_terminal() {
            names.watch_nodes(&database);
            names.try_families(&database, SERVICES);
            keyboard.history.iter().rev().for_each(|line| names.try_families(&database, line));
            keyboard.print(&format!("{HELP}\n"))?;
        }
        let mut failed = 0;
        loop {
            keyboard.ask(dialogue.prompt());
            let input = loop {
                tokio::select! {
                    input = keyboard.next() => break input,
                    message = dialogue.message() => match message {
                        Some(message) => keyboard.print(&message)?,
                        None if keyboard.is_terminal() => {}
                        None => return Err(Failure::interrupted()),
                    },
                }
            };
            let line = match input {
                Input::Line(line) => line,
                Input::Cancelled => continue,
                Input::Failed(error) => return Err(Failure::failed(error)),
                Input::End if failed > 0 && !keyboard.is_terminal() => {
                    return Err(Failure::failed(format!("lines that failed: {failed}")));
                }
                Input::End => return Ok(()),
            };
            if let Err(error) = dialogue.line(&line, &keyboard).await {
                failed += 1;
                Failure::failed(error).say();
            }
            if keyboard.is_terminal() {
                names.try_families(&database, &line);
            } else if dialogue.interrupted {
                return Err(Failure::interrupted());
            }
        }
    }
}
