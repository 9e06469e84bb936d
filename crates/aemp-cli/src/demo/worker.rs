//! The worker: a port in the database that counts the words of the chunks it is sent.

use std::collections::HashMap;

use aemp::{Addr, Context, Message, PortId, Reason};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::text;

/// The name of the function that makes a worker, and the family in which workers are found.
pub(crate) const WORKER: &str = "demo::worker";

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize, Message)]
pub(crate) enum Work {
    /// Count the words of a chunk.
    Count {
        /// The number of the chunk.
        id: u64,
        /// The chunk.
        text: Bytes,
        /// Who wants to know.
        reply: Addr<Report>,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize, Message)]
pub(crate) enum Report {
    /// A chunk is counted.
    Counted {
        /// By this worker.
        worker: PortId,
        /// The number of the chunk.
        id: u64,
        /// How often each word occurs.
        words: HashMap<String, u64>,
    },
}

/// Makes a worker.
pub(crate) fn init(cx: &mut Context<'_>, (): ()) -> Result<(), Reason> {
    let me = cx.me();
    cx.node().db().register(WORKER, &me)?;
    cx.receive(move |cx, Work::Count { id, text, reply }| {
        cx.send(&reply, Report::Counted { worker: me.clone(), id, words: text::count(&text) });
    });
    Ok(())
}
