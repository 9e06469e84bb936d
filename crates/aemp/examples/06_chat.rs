//! 6. A chat: one room for all who come.
//!
//! In one terminal: `cargo run --example 06_chat listen 127.0.0.1:4040`
//! In others: `cargo run --example 06_chat connect 127.0.0.1:4040 alice`, then type; ctrl-d leaves.
//!
//! The room is a typed actor. It monitors its members, so it knows who has left, in any way;
//! the members monitor the room.

mod terminal;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::stdin;

use aemp::{Actor, Addr, Context, Message, Node, Reason};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};

/// What the room takes. Members are their ports.
#[derive(Serialize, Deserialize, Message)]
enum Say {
    Join { name: String, member: Addr<Show> },
    Text { text: String, member: Addr<Show> },
}

/// What a member takes.
#[derive(Serialize, Deserialize, Message)]
enum Show {
    Line { text: String },
}

/// The room: who is in it.
struct Room {
    members: BTreeMap<String, Addr<Show>>,
}

impl Room {
    fn name(&self, member: &Addr<Show>) -> Option<&String> {
        self.members.iter().find(|(_, port)| *port == member).map(|(name, _)| name)
    }

    fn tell(&self, cx: &mut Context<'_>, text: &str) {
        println!("{text}");
        for member in self.members.values() {
            cx.send(member, Show::Line { text: text.into() });
        }
    }

    fn join(&mut self, cx: &mut Context<'_>, name: String, member: Addr<Show>) {
        if self.members.contains_key(&name) {
            return cx.kill(&member, Reason::text("taken", format_args!("{name} is here already")));
        }
        let gone = name.clone();
        let left = move |cx: &mut Context<'_>, _| cx.with_actor(|room: &mut Room, cx| room.leave(cx, &gone));
        cx.monitor(&member, left).detach();
        self.members.insert(name.clone(), member);
        self.tell(cx, &format!("{name} joined"));
    }

    fn leave(&mut self, cx: &mut Context<'_>, name: &str) {
        self.members.remove(name);
        self.tell(cx, &format!("{name} left"));
    }
}

impl Actor for Room {
    type Args = ();
    type Message = Say;

    fn init(_: &mut Context<'_>, (): ()) -> Result<Room, Reason> {
        Ok(Room { members: BTreeMap::new() })
    }

    fn handle(&mut self, cx: &mut Context<'_>, say: Say) -> Result<(), Reason> {
        match say {
            Say::Join { name, member } => self.join(cx, name, member),
            Say::Text { text, member } => {
                if let Some(name) = self.name(&member) {
                    let line = format!("{name}: {text}");
                    self.tell(cx, &line);
                }
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().start().await?;
    match terminal.side {
        Side::Listen => {
            let room = node.start_actor::<Room>(());
            node.db().register("chat::room", &room)?;
            terminal::stay(&node).await
        }
        Side::Connect => chat(&node, terminal.rest.first().map_or("somebody", String::as_str)).await,
    }
}

async fn chat(node: &Node, name: &str) -> Result<(), Box<dyn Error>> {
    let room = node.db().any_of::<Say>("chat::room").await?;
    let member = node.port(|_, Show::Line { text }| println!("{text}"));
    node.monitor_kill(&room, &member).detach();
    let death = node.exited(&member);
    node.send(&room, Say::Join { name: name.into(), member: member.clone() })?;

    // Reading from a terminal blocks, so it has a thread of its own.
    let (own, to) = (node.clone(), room);
    std::thread::spawn(move || {
        for text in stdin().lines().map_while(Result::ok) {
            if own.send(&to, Say::Text { text, member: member.clone() }).is_err() {
                break;
            }
        }
        own.kill(&member, Reason::NORMAL);
    });
    let reason = death.await;
    if !reason.is_normal() {
        println!("{reason}");
    }
    node.shutdown().await;
    Ok(())
}
