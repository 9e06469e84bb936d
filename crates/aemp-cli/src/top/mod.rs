//! `aemp top`: a network while it runs, on a terminal.
//!
//! [`observe`] looks at the network and gives lists, [`state`] is what is shown of them and what
//! keys do ([`list`] is one of them), [`draw`] draws it, and [`screen`] is the terminal; here is
//! the loop between them.

mod draw;
mod list;
mod observe;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use aemp::{Node, Reason};
use anstream::{AutoStream, ColorChoice};
use clap::Args;
use crossterm::event::{Event as TerminalEvent, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::connected;
use crate::output::Format;
use crate::{logging, run, values};
use draw::{Look, draw};
pub(crate) use observe::{Observer, Picture, Wanted};
use screen::Screen;
use state::{Event, Order, State};
pub(crate) use view::View;

/// Less is between two looks in no case: the nodes have other things to do.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How long a node is waited for that does not answer; the others are shown after that.
const ANSWER: Duration = Duration::from_secs(2);

/// Things that have happened and are not shown yet.
const EVENTS_MAX: usize = 16;

/// The form of what `--json` prints. It is raised when a field changes its meaning.
const VERSION: u32 = 1;

/// Show a network while it runs: nodes, links, ports, families, lost messages
///
/// All nodes are asked once a second what `nodes`, `stats`, `ports`, `families` and `lost` ask. `?`
/// shows the keys, `q` ends. A port is killed after a question, and never with --read-only.
///
/// A node is `up`; or `up, tells nothing`: of a Perl or Python node, which does not know the
/// questions, what the others know is shown; or `silent` when it does not answer within two
/// seconds; or `unreachable` when there is no connection to it. One that is gone is shown for 60
/// looks.
///
/// --once looks once, needs no terminal, and prints VIEW as a table, or with --json everything.
/// Rates are null then, for they need two looks.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// What to show first
    #[arg(default_value = "nodes", hide_default_value = true)]
    view: View,
    /// Seconds between two looks, at least 0.1
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = client::seconds)]
    interval: Duration,
    /// Sort by this column
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Print what there is now, and end
    #[arg(long)]
    once: bool,
    /// Print all of it as JSON
    #[arg(long, requires = "once")]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Top {
    pub(crate) async fn run(self, read_only: bool) -> Result<(), Failure> {
        let mut state = State::new(self.view, read_only);
        if let Some(column) = self.sort.as_deref().filter(|column| !state.sort_by(column)) {
            let (view, columns) = (self.view.name(), self.view.columns().join(", "));
            return Err(Failure::usage(format!("--sort {column}: {view} have the columns {columns}")));
        }
        if self.once {
            return self.print(state).await;
        }
        if !stdout().is_terminal() {
            return Err(Failure::usage(
                "top needs a terminal to draw on; `aemp top --once` prints a list, `aemp top --once --json` all",
            ));
        }
        let ending = run::ending()?;
        connected(&self.access, async |node: &Node| self.show(node, state, ending).await).await
    }

    /// What is logged: what is written on the terminal would stand in the middle of the lists.
    pub(crate) fn logs(&self) -> &'static str {
        if self.once { logging::OF_COMMANDS } else { "off" }
    }

    /// How long an answer is waited for.
    fn patience(&self) -> Duration {
        self.access.limit.timeout.min(ANSWER)
    }

    async fn print(&self, mut state: State) -> Result<(), Failure> {
        let wanted = match self.json {
            true => Wanted { ports: true, lost: true, of: None },
            false => state.wanted(),
        };
        let look = async |node: &Node| Ok(Observer::new(node.clone(), self.patience()).look(&wanted).await);
        let picture = connected(&self.access, look).await?;
        if self.json {
            return crate::print(&values::json_text(&picture.json()));
        }
        state.apply(Event::Seen(Box::new(picture)));
        state.table().print(Format::Table)
    }

    async fn show(
        &self,
        node: &Node,
        mut state: State,
        ending: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::failed(format!("the terminal cannot be used: {error}"));
        let (wanted, wants) = watch::channel(state.wanted());
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let observer = Observer::new(node.clone(), self.patience());
        let mut looking =
            tokio::spawn(look_again(observer, wants, events.clone(), self.interval.max(INTERVAL_MIN)));
        let mut ending = std::pin::pin!(ending);
        let look = Look { colour: AutoStream::choice(&stdout()) != ColorChoice::Never };
        let mut screen = Screen::take().map_err(failed)?;
        let mut keys = EventStream::new();
        loop {
            screen.draw(|frame| draw(frame, &mut state, look)).map_err(failed)?;
            let event = tokio::select! {
                key = keys.next() => match key {
                    Some(Ok(TerminalEvent::Key(key))) if key.kind != KeyEventKind::Release => Event::Key(key),
                    // It has another size now, or something that is not asked for has happened.
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Err(failed(error)),
                    None => return Ok(()),
                },
                Some(event) = happened.recv() => event,
                ended = &mut looking => {
                    // It ends with the receiver, which is here: so it has panicked.
                    return Err(Failure::failed(ended.map_or_else(|error| error.to_string(), |()| String::new())));
                }
                () = &mut ending => return Err(Failure::interrupted()),
            };
            match state.apply(event) {
                Some(Order::Quit) => return Ok(()),
                Some(Order::Look) => drop(wanted.send(state.wanted())),
                Some(Order::Kill(port)) => self.kill(node, &port, &events),
                None => {}
            }
        }
    }

    /// Kills a port, and tells what has become of it.
    fn kill(&self, node: &Node, port: &str, events: &mpsc::Sender<Event>) {
        let (node, limit, events) = (node.clone(), self.access.limit.timeout, events.clone());
        let port = match client::port(port) {
            Ok(port) => port,
            Err(failure) => return drop(events.try_send(Event::Told(failure.to_string()))),
        };
        tokio::spawn(async move {
            let died = node.exited(&port);
            node.kill(&port, Reason::new(["killed", "by aemp top"].map(Into::into)));
            let told = match timeout(limit, died).await {
                Ok(reason) => format!("{port} is dead: {}", values::to_words(reason.values())),
                Err(_) => format!("{port}: no news of its death within {limit:?}"),
            };
            // Nobody may be there any more.
            let _ = events.send(Event::Told(told)).await;
        });
    }
}

/// Looks at the network until nobody wants to see it: in intervals, and at once when something else
/// is wanted.
async fn look_again(
    mut observer: Observer,
    mut wants: watch::Receiver<Wanted>,
    events: mpsc::Sender<Event>,
    interval: Duration,
) {
    loop {
        let wanted = wants.borrow_and_update().clone();
        let picture = observer.look(&wanted).await;
        if events.send(Event::Seen(Box::new(picture))).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(interval) => {}
            changed = wants.changed() => if changed.is_err() { return },
        }
    }
}

impl Picture {
    /// All that was seen.
    fn json(&self) -> serde_json::Value {
        let mut all = json!({"version": VERSION, "time": self.time});
        for (view, table) in View::ALL.iter().zip(&self.tables) {
            all[view.name()] = table.as_ref().map_or(serde_json::Value::Null, crate::output::Table::json);
        }
        all
    }
}
