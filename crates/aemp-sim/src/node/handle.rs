//! What the code of a port does with what it gets.

use aemp_ports::PortNo;
use aemp_proto::{PortId, Reason, Value};

use super::habit::Habit;
use super::monitors::read_news;
use super::verbs::Letter;
use super::{FUNCTIONS, Node};
use crate::cx::Cx;
use crate::history::Event;
use crate::options::Sabotage;

impl Node {
    /// A port handles a message: the news of a monitor, or what a program has sent.
    pub(super) fn handle(&mut self, number: PortNo, values: &[Value], cx: &mut Cx) {
        if let Some((m, reason)) = read_news(values) {
            return self.fired(m, &reason, cx);
        }
        self.hear(cx);
        let Some(letter) = Letter::read(values) else { return };
        let n = self.ports.place_of(letter.k);
        let me = self.ports.id(number);
        self.read_letter((&me, number), &letter, n, cx);
    }

    /// A port takes a message and does what it says.
    pub(super) fn read_letter(
        &mut self,
        (me, number): (&PortId, PortNo),
        letter: &Letter,
        n: Option<u64>,
        cx: &mut Cx,
    ) {
        let hash = letter.hash() ^ u64::from(cx.sabotage(Sabotage::AlterMessage, 30));
        let p = me.to_string();
        if cx.sabotage(Sabotage::InventMessage, 100) {
            let k = cx.id();
            self.record(Event::Rcv { p: p.clone(), k, hash, n }, cx);
        }
        self.record(Event::Rcv { p, k: letter.k, hash, n }, cx);
        let Ok(from) = PortId::parse(&letter.from) else { return };
        match letter.wish {
            Letter::ECHO => self.send(me, &from, Letter::NOTHING, cx),
            wish if wish >= Letter::FLOOD => self.flood((me, number), &from, wish, cx),
            Letter::LAST_WORDS => {
                let reason = Reason::text("last words", letter.k);
                let late = cx.sabotage(Sabotage::NewsFirst, 1);
                if late {
                    self.end_here(number, reason.clone(), cx);
                }
                for _ in 0..3 {
                    self.send(me, &from, Letter::NOTHING, cx);
                }
                if !late {
                    self.end_own(number, reason, cx);
                }
            }
            _ => {}
        }
    }

    /// The function of a spawn runs in the port that it is to make.
    pub(super) fn init(&mut self, number: PortNo, habit: Habit, function: &str, cx: &mut Cx) {
        let p = self.ports.id(number).to_string();
        let known = FUNCTIONS.contains(&function);
        if known || cx.sabotage(Sabotage::InitUnknown, 1) {
            self.record(Event::Init { p: p.clone(), function: function.into() }, cx);
        }
        if cx.sabotage(Sabotage::InitTwice, 2) {
            self.record(Event::Init { p, function: function.into() }, cx);
        }
        let reason = match function {
            "sim::port" => {
                if let Some((_, asked)) = self.ports.asked() {
                    asked.becomes = Some(habit);
                }
                return;
            }
            "sim::fails" => Reason::died("the function fails"),
            "sim::nothing" => Reason::no_such_port(&self.ports.id(number)),
            _ => Reason::text("spawn_refused", "no such function"),
        };
        self.end_own(number, reason, cx);
    }
}
