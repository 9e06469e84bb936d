//! The job: chunks go out to the workers, counts come back, and in the middle a worker is killed.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use aemp::database::{Change, DbWatch};
use aemp::{Addr, Node, PortId, Reason};
use tokio::sync::mpsc;

use super::network::{Network, name};
use super::progress::Progress;
use super::schedule::{Chunk, Schedule};
use super::source::{Read, Source};
use super::table::Tally;
use super::text::{self, Counts};
use super::worker::{Report, WORKER, Work};
use crate::failure::Failure;

/// Chunks that a worker has at a time: enough to keep it busy, few enough to be given to others
/// soon.
const OUTSTANDING: usize = 4;

/// How often the processes are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Without any news for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a worker may be lost whose process lives.
const LOST: usize = 5;

/// What the network tells the job.
enum Event {
    /// A chunk is counted.
    Counted { worker: PortId, id: u64, words: HashMap<String, u64> },
    /// The monitor of a worker has fired.
    Gone { worker: PortId, reason: Reason, at: Instant },
}

/// How far the killing of a worker has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kill {
    /// It is too early.
    Due,
    /// This worker was killed then.
    Done { victim: usize, at: Instant },
    /// Its monitor fired after this time, and its replacement is on its way.
    Noticed { victim: usize, after: Duration },
    /// Its replacement was found.
    Over { after: Duration },
}

/// What came out of it.
pub(crate) struct Outcome {
    /// How often each word occurs, as the workers say.
    pub(crate) counts: Counts,
    /// What each worker has done.
    pub(crate) tallies: Vec<Tally>,
    /// From the first chunk to the last count.
    pub(crate) took: Duration,
    /// From SIGKILL to the monitor.
    pub(crate) noticed: Duration,
}

/// The job while it runs.
pub(crate) struct Job<'a, 'n> {
    node: &'a Node,
    network: &'a mut Network<'n>,
    progress: &'a mut Progress,
    source: &'a mut Source,
    /// Whether there is more to read.
    reading: bool,
    /// Files that are not counted.
    skipped: usize,
    schedule: Schedule<PortId>,
    /// The workers that are there.
    workers: BTreeMap<PortId, usize>,
    tallies: Vec<Tally>,
    counts: Counts,
    /// Bytes counted, and bytes to be counted.
    bytes: (u64, u64),
    chunks: u64,
    kill: Kill,
    /// How often a worker was lost that nobody has killed.
    lost: usize,
    started: Option<Instant>,
    finished: Instant,
    reports: Addr<Report>,
    news: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl<'a, 'n> Job<'a, 'n> {
    /// A job that counts what `source` reads, about `bytes`.
    pub(crate) fn new(
        node: &'a Node,
        network: &'a mut Network<'n>,
        progress: &'a mut Progress,
        source: &'a mut Source,
        bytes: u64,
    ) -> Job<'a, 'n> {
        let (news, events) = mpsc::unbounded_channel();
        let sender = news.clone();
        let reports = node.port(move |_, Report::Counted { worker, id, words }| {
            // Nobody listens any more after a failure.
            let _ = sender.send(Event::Counted { worker, id, words });
        });
        Job {
            node,
            reading: true,
            skipped: 0,
            schedule: Schedule::new(OUTSTANDING),
            workers: BTreeMap::new(),
            tallies: vec![Tally::default(); network.size()],
            counts: Counts::new(),
            bytes: (0, bytes),
            chunks: 0,
            kill: Kill::Due,
            lost: 0,
            started: None,
            finished: Instant::now(),
            network,
            progress,
            source,
            reports,
            news,
            events,
        }
    }

    /// Runs until everything is counted, and the killed worker is replaced.
    pub(crate) async fn run(mut self) -> Result<Outcome, Failure> {
        let mut watch: DbWatch = self.node.db().watch(WORKER);
        let mut tick = tokio::time::interval(TICK);
        let mut heard = Instant::now();
        loop {
            if self.started.is_some() {
                self.send_chunks()?;
                self.kill_if_due().await?;
            }
            if let (Kill::Over { after }, true) = (self.kill, self.is_counted()) {
                let took = self.started.map_or(Duration::ZERO, |start| self.finished - start);
                return Ok(Outcome { counts: self.counts, tallies: self.tallies, took, noticed: after });
            }
            tokio::select! {
                read = self.source.reads.recv(), if self.reading && self.schedule.is_hungry() => self.read(read)?,
                Some(event) = self.events.recv() => self.hear(event).await?,
                Some(change) = watch.next() => self.look(&change)?,
                _ = tick.tick() => {
                    self.check(heard)?;
                    continue;
                }
            }
            heard = Instant::now();
        }
    }

    fn is_counted(&self) -> bool {
        !self.reading && self.schedule.is_empty()
    }

    fn read(&mut self, read: Option<Read>) -> Result<(), Failure> {
        match read {
            Some(Read::Chunk(text)) => {
                self.schedule.add(Chunk { id: self.chunks, text });
                self.chunks += 1;
            }
            Some(Read::Skipped(file, why)) => {
                self.bytes.1 = self.bytes.1.saturating_sub(file.bytes);
                self.skipped += 1;
                tracing::info!(file = %file.path.display(), why, "not counted");
            }
            None => {
                self.reading = false;
                if self.skipped > 0 {
                    self.progress.say(&format!(
                        "{} files are left out, most often because they are not text",
                        self.skipped
                    ))?;
                }
            }
        }
        Ok(())
    }

    fn send_chunks(&mut self) -> Result<(), Failure> {
        while let Some((worker, Chunk { id, text })) = self.schedule.next() {
            if let Some(&index) = self.workers.get(&worker) {
                self.tallies[index].messages += 1;
            }
            let work = Work::Count { id, text, reply: self.reports.clone() };
            self.node.send(&worker, work).map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Kills the worker with the most to do when half of the work is done, or when all of it is
    /// under way.
    async fn kill_if_due(&mut self) -> Result<(), Failure> {
        let busiest = self.schedule.busiest();
        let half = busiest.is_some() && self.bytes.0 * 2 >= self.bytes.1;
        let last_chance = !self.reading && !self.schedule.is_waiting();
        if self.kill != Kill::Due || !(half || last_chance) {
            return Ok(());
        }
        let Some(worker) = busiest.or_else(|| self.workers.keys().next()) else { return Ok(()) };
        let Some(&victim) = self.workers.get(worker) else { return Ok(()) };
        let at = Instant::now();
        self.kill = Kill::Done { victim, at };
        self.network.kill(victim).await?;
        self.progress.say(&format!("{} killed with SIGKILL", name(victim)))
    }

    async fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Counted { worker, id, words } => self.count(&worker, id, words),
            Event::Gone { worker, reason, at } => self.lose(&worker, &reason, at).await,
        }
    }

    fn count(&mut self, worker: &PortId, id: u64, words: HashMap<String, u64>) -> Result<(), Failure> {
        let Some(chunk) = self.schedule.finish(worker, id) else { return Ok(()) };
        let bytes = chunk.text.len() as u64;
        if let Some(&index) = self.workers.get(worker) {
            let tally = &mut self.tallies[index];
            tally.chunks += 1;
            tally.bytes += bytes;
            tally.messages += 1;
        }
        text::add(&mut self.counts, words);
        self.bytes.0 += bytes;
        self.finished = Instant::now();
        self.progress.counted(self.bytes.0, self.bytes.1)
    }

    async fn lose(&mut self, worker: &PortId, reason: &Reason, at: Instant) -> Result<(), Failure> {
        let Some(index) = self.workers.remove(worker) else { return Ok(()) };
        let chunks = self.schedule.leave(worker);
        match self.kill {
            Kill::Done { victim, at: killed } if victim == index => {
                let after = at.saturating_duration_since(killed);
                self.kill = Kill::Noticed { victim, after };
                self.progress.say(&format!(
                    "monitor of {} fired after {:.1} ms ({reason}); its {chunks} unfinished chunks go to others",
                    name(index),
                    after.as_secs_f64() * 1000.0
                ))?;
                self.tallies[index].restarts += 1;
                self.network.start_worker(index).await
            }
            _ => self.find_again(worker, index, reason),
        }
    }

    /// A worker was lost that nobody has killed. If its process lives, only the connection was
    /// lost: right after a restart a node may still be looked for where it was before.
    fn find_again(&mut self, worker: &PortId, index: usize, reason: &Reason) -> Result<(), Failure> {
        self.network.check()?;
        self.lost += 1;
        if self.lost > LOST {
            return Err(self.network.blame(index, "was lost too often, and its process lives", reason));
        }
        self.progress
            .say(&format!("{} was lost ({reason}), but its process lives: once more", name(index)))?;
        self.join(worker, index);
        Ok(())
    }

    /// Workers that are new in the database join.
    fn look(&mut self, change: &Change) -> Result<(), Failure> {
        for worker in change.added.iter().filter_map(|key| PortId::parse(key).ok()) {
            let Some(index) = self.network.worker_of(worker.node()) else { continue };
            if self.workers.contains_key(&worker) {
                continue;
            }
            self.progress.say(&format!("{} found in the database: {worker}", name(index)))?;
            self.join(&worker, index);
            if let Kill::Noticed { victim, after } = self.kill
                && victim == index
            {
                self.kill = Kill::Over { after };
            }
        }
        if self.started.is_none() && self.workers.len() == self.network.size() {
            self.started = Some(Instant::now());
        }
        Ok(())
    }

    /// From now on a worker is monitored and gets chunks.
    fn join(&mut self, worker: &PortId, index: usize) {
        let (news, port) = (self.news.clone(), worker.clone());
        let gone = move |reason| {
            // Nobody listens any more when the job is over.
            let _ = news.send(Event::Gone { worker: port, reason, at: Instant::now() });
        };
        self.node.monitor(worker, gone).detach();
        self.workers.insert(worker.clone(), index);
        self.schedule.join(worker.clone());
    }

    fn check(&mut self, heard: Instant) -> Result<(), Failure> {
        self.network.check()?;
        if heard.elapsed() < PATIENCE {
            return Ok(());
        }
        let missing =
            (0..self.network.size()).find(|index| !self.workers.values().any(|worker| worker == index));
        if let Some(index) = missing {
            let why = format!("nothing was heard for {PATIENCE:?}");
            return Err(self.network.blame(index, "is not in the database", why));
        }
        let busy = self.schedule.busiest().and_then(|worker| self.workers.get(worker)).copied();
        let what = "does not answer";
        Err(self.network.blame(busy.unwrap_or_default(), what, format!("nothing was heard for {PATIENCE:?}")))
    }
}
