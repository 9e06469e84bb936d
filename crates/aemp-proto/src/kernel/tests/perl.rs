//! A Perl peer: it sends its line as soon as it has our greeting, and when two connections finish
//! it drops both.

use std::time::Duration;

use super::super::*;
use super::net::node;
use crate::random::Random;

/// One connection with the peer, as both sides see it.
struct Connection {
    link: LinkId,
    /// The peer's line is on its way or there.
    peers_line: bool,
    verified: bool,
    /// Our line was sent, so that the peer has finished as soon as it arrives.
    our_line: bool,
    over: bool,
}

struct Game {
    kernel: Kernel,
    random: Random,
    connections: Vec<Connection>,
    dials: Vec<LinkId>,
    accepted: u64,
    up: Option<LinkId>,
    breaks: usize,
    failed: usize,
    now: Time,
}

impl Game {
    fn new(own: &str, seed: u64) -> Game {
        let mut config = KernelConfig::new(node(own));
        config.seeds = vec!["p:1".into(), "p:2".into()];
        let mut game = Game {
            kernel: Kernel::new(config, Time::ZERO),
            random: Random::new(seed),
            connections: Vec::new(),
            dials: Vec::new(),
            accepted: 0,
            up: None,
            breaks: 0,
            failed: 0,
            now: Time::ZERO,
        };
        game.drain();
        game
    }

    fn input(&mut self, input: Input) {
        self.now += Duration::from_millis(1);
        self.kernel.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.kernel.poll() {
            match action {
                Action::Dial { link, .. } => self.dials.push(link),
                Action::Proceed { link } => {
                    let finished = self.connections.iter().filter(|one| one.our_line && !one.over).count();
                    assert_eq!(finished, 0, "a second connection would finish at the peer");
                    self.connection(link).our_line = true;
                }
                Action::Close { link, .. } => {
                    self.dials.retain(|dial| *dial != link);
                    if let Some(one) = self.connections.iter_mut().find(|one| one.link == link) {
                        one.over = true;
                    }
                    self.up = self.up.filter(|up| *up != link);
                }
                Action::Up { link, .. } => self.up = Some(link),
                Action::Break { .. } => self.breaks += 1,
                _ => {}
            }
        }
    }

    fn connection(&mut self, link: LinkId) -> &mut Connection {
        self.connections.iter_mut().find(|one| one.link == link).unwrap()
    }

    fn greet(&mut self, link: LinkId) {
        self.connections.push(Connection {
            link,
            peers_line: true,
            verified: false,
            our_line: false,
            over: false,
        });
        let peer = Peer {
            node: node("p"),
            incarnation: None,
            native: false,
            can_relay: false,
            client: false,
            via: None,
        };
        self.input(Input::Greeted { link, peer });
    }

    /// One of the things that can happen next.
    fn step(&mut self) {
        match self.random.next() % 8 {
            0 if !self.dials.is_empty() => {
                let link = self.dials.remove(0);
                self.greet(link);
            }
            1 if self.accepted < 3 => {
                self.accepted += 1;
                self.greet(LinkId::accepted(self.accepted));
            }
            2..=4 => self.deliver_line(),
            5 => self.establish(),
            6 if self.random.next().is_multiple_of(6) => self.fail_one(),
            _ => {}
        }
    }

    fn deliver_line(&mut self) {
        let next = self.connections.iter_mut().find(|one| one.peers_line && !one.verified && !one.over);
        let Some(one) = next else { return };
        one.verified = true;
        let (link, ours) = (one.link, one.our_line);
        self.input(if ours { Input::Established { link } } else { Input::Verified { link } });
    }

    /// A connection on which both lines are there now, ours having been sent after theirs came.
    fn establish(&mut self) {
        let up = self.up;
        let ready = self.connections.iter().find(|one| one.verified && one.our_line && !one.over);
        if let Some(link) = ready.map(|one| one.link).filter(|link| up != Some(*link)) {
            self.input(Input::Established { link });
        }
    }

    fn fail_one(&mut self) {
        let up = self.up;
        if let Some(one) = self.connections.iter_mut().find(|one| !one.over && up != Some(one.link)) {
            one.over = true;
            self.failed += 1;
            let link = one.link;
            self.input(Input::Closed { link, reason: "reset".into() });
        }
    }
}

#[test]
fn two_connections_with_a_perl_node_never_finish_together() {
    for (own, seed) in (0..1000).flat_map(|seed| [("a", seed), ("z", seed)]) {
        let mut game = Game::new(own, seed);
        for _ in 0..60 {
            game.step();
        }
        // All that was under way comes to its end, and one connection is there.
        for _ in 0..20 {
            if let Some(link) = (!game.dials.is_empty()).then(|| game.dials.remove(0)) {
                game.greet(link);
            }
            game.deliver_line();
            game.establish();
            if let Some(probed) = game.up {
                game.input(Input::ProbeDone { link: probed, alive: true });
            }
        }
        let open = game.connections.iter().filter(|one| !one.over).count();
        let expected = usize::from(game.connections.len() > game.failed);
        assert_eq!(open, expected, "connections that are left, seed {seed}");
        assert_eq!(game.breaks, 0, "seed {seed}");
    }
}
