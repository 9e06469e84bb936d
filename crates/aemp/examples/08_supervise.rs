//! 8. Supervision: a port that is started again when it dies, on any node is there.
//!
//! In one terminal: `cargo run --example 08_supervise listen 127.0.0.1:4040`
//! In two or more others: `cargo run --example 08_supervise connect 127.0.0.1:4040`
//! Then end the process that the clock runs in, with ctrl-c or kill -9: it goes on in another one.
//!
//! The supervisor monitors what it has started. The death of a port, of a process and of a machine
//! are the same news to it.

mod terminal;

use std::error::Error;
use std::time::Duration;

use aemp::supervise::{Child, Strategy, Supervisor};
use aemp::{Actor, AnyMessage, Context, Node, NodeId, PortId, Reason};
use terminal::{Side, Terminal};
use tokio::sync::watch;

/// The nodes on which the clock may run: a family of the database.
const HOSTS: &str = "example::hosts";

/// The port that is to live somewhere. Nobody tells it anything.
struct Clock {
    seconds: u32,
}

impl Clock {
    fn tick(cx: &mut Context<'_>) {
        cx.with_actor(|clock: &mut Clock, _| {
            clock.seconds += 1;
            println!("{} s", clock.seconds);
        });
        cx.after(Duration::from_secs(1), Clock::tick);
    }
}

impl Actor for Clock {
    type Args = (PortId,);
    type Message = AnyMessage;

    fn init(cx: &mut Context<'_>, (owner,): (PortId,)) -> Result<Clock, Reason> {
        println!("the clock runs here");
        // If the owner is lost, so is the one who would stop the clock.
        cx.monitor(&owner, |cx, _| cx.end(Reason::NORMAL)).detach();
        cx.after(Duration::from_secs(1), Clock::tick);
        Ok(Clock { seconds: 0 })
    }

    fn handle(&mut self, _: &mut Context<'_>, _: AnyMessage) -> Result<(), Reason> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().actor::<Clock>("example::clock").start().await?;
    match terminal.side {
        Side::Listen => {
            terminal::announce(&node);
            tokio::spawn(lead(node.clone()));
        }
        Side::Connect => node.db().set(HOSTS, node.id().as_str(), 1)?.detach(),
    }
    terminal::until_ctrl_c(&node).await
}

/// Starts the supervisor when there is a host, and says when one comes or goes.
async fn lead(node: Node) {
    let (tell, hosts) = watch::channel(Vec::new());
    let mut changes = node.db().watch(HOSTS);
    let mut supervisor = None;
    while let Some(change) = changes.next().await {
        let there: Vec<NodeId> = change.content.keys().filter_map(|key| NodeId::new(key).ok()).collect();
        println!("hosts: {}", there.len());
        let first = !there.is_empty() && supervisor.is_none();
        tell.send_replace(there);
        if first {
            let clock = clock(&node, hosts.clone());
            let port = Supervisor::new(Strategy::OneForOne).child(clock).start(&node);
            node.monitor(&port, |reason| println!("the supervisor ended: {reason}")).detach();
            supervisor = Some(port);
        }
    }
}

/// The clock as a child: each time on another host than before, if there is one.
fn clock(node: &Node, hosts: watch::Receiver<Vec<NodeId>>) -> Child {
    let owner = node.port(|_, _: AnyMessage| {});
    let mut last = None;
    Child::new("clock", move |node| {
        let hosts = hosts.borrow();
        // A host that was lost just now may still be listed.
        let other = hosts.iter().find(|host| Some(*host) != last.as_ref());
        let host =
            other.or(hosts.first()).ok_or_else(|| Reason::text("no_host", "nobody can run the clock"))?;
        last = Some(host.clone());
        Ok(node.spawn(host, "example::clock", (&owner,))?)
    })
}
