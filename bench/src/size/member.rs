//! A process with many members, and what each of them does.

use std::time::Duration;

use aemp::{Actor, Addr, Context, Inbox, Node, PortId, Reason};
use tokio::task::JoinSet;

use super::messages::{Control, Report, Talk};
use super::{CONTROLLERS, COUNT, LATE, LIMIT, LISTEN, MEMBERS, SEEDS};
use crate::process::ready;

/// How many members of a process start at a time.
const AT_ONCE: usize = 64;

/// Sends numbers to its partner and looks at those that come.
#[derive(Default)]
struct Member {
    partner: Option<PortId>,
    pause: Duration,
    count: u64,
    next: u64,
    report: Report,
}

impl Actor for Member {
    type Args = ();
    type Message = Talk;

    fn init(_: &mut Context<'_>, (): ()) -> Result<Member, Reason> {
        Ok(Member::default())
    }

    fn handle(&mut self, cx: &mut Context<'_>, talk: Talk) -> Result<(), Reason> {
        match talk {
            Talk::Begin { partner, pause, count } => {
                let fired = |cx: &mut Context<'_>, reason: Reason| {
                    cx.with_actor(|me: &mut Member, _| me.report.fired = Some(reason.to_string()));
                };
                cx.monitor(&partner, fired).detach();
                (self.partner, self.pause, self.count) = (Some(partner), pause, count);
                self.say(cx);
            }
            Talk::Say { number } => {
                self.report.received += 1;
                self.report.gaps += u64::from(number != self.next);
                self.next = number + 1;
            }
            Talk::Report { reply } => cx.reply(reply, self.report.clone()),
        }
        Ok(())
    }
}

impl Member {
    fn say(&mut self, cx: &mut Context<'_>) {
        let Some(partner) = self.partner.as_ref().filter(|_| self.report.fired.is_none()) else { return };
        let number = self.report.sent;
        cx.send(partner, Talk::Say { number });
        self.report.sent += 1;
        if self.report.sent < self.count {
            cx.after(self.pause, |cx| cx.with_actor(|me: &mut Member, cx| me.say(cx)));
        }
    }
}

/// Starts the members and a controller, which is a port of the first one.
pub(crate) async fn serve() {
    let variable = |name: &str| std::env::var(name).expect("the bench sets it");
    let seeds: Vec<String> = variable(SEEDS).split(' ').map(str::to_owned).collect();
    let (listen, count) = (variable(LISTEN), variable(COUNT).parse::<usize>().expect("a number"));
    let mut members: Vec<(Node, Addr<Talk>)> = Vec::new();
    let mut starts = JoinSet::new();
    for _ in 0..count {
        if starts.len() >= AT_ONCE {
            members.extend(starts.join_next().await.map(|member| member.expect("it starts")));
        }
        starts.spawn(start(listen.clone(), seeds.clone()));
    }
    members.extend(starts.join_all().await);
    let Some((first, _)) = members.first().cloned() else { return };
    let controller = first.port_async_of(move |inbox| control(inbox, members));
    first.db().register(CONTROLLERS, &controller).expect("a family");
    ready("").await;
}

async fn start(listen: String, seeds: Vec<String>) -> (Node, Addr<Talk>) {
    let builder = Node::builder().id("member/").bind(format!("{listen}:0")).secret("bench");
    let node = seeds.into_iter().fold(builder, |builder, seed| builder.seed(seed));
    let node = node.start().await.expect("it starts");
    let member = node.start_actor::<Member>(());
    node.db().register(MEMBERS, &member).expect("a family");
    (node, member)
}

async fn control(mut inbox: Inbox<Control>, members: Vec<(Node, Addr<Talk>)>) -> aemp::ExitResult {
    loop {
        match inbox.recv().await {
            Control::Members { reply } => {
                let ports = members.iter().map(|(_, port)| port.port().clone()).collect();
                inbox.reply(reply, ports)?;
            }
            Control::Begin { partners, pause, count } => {
                for ((node, port), partner) in members.iter().zip(partners) {
                    node.send(port, Talk::Begin { partner, pause, count })?;
                }
            }
            Control::Register => {
                if let Some((node, port)) = members.last() {
                    node.db().register(LATE, port)?;
                }
            }
            Control::Report { reply } => {
                let mut reports = Vec::new();
                for (node, port) in &members {
                    reports.push(node.call(port, LIMIT, |reply| Talk::Report { reply }).await?);
                }
                inbox.reply(reply, reports)?;
            }
        }
    }
}
