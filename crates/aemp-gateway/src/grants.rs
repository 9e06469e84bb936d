//! Ports that have asked a client something, and that it may answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aemp::{AnyMessage, PortId};

/// How many are remembered; the oldest are forgotten.
const GRANTS_MAX: usize = 1024;

/// The ports whose IDs stood at the end of messages to ports of a client: by custom those for the
/// answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Arc<Mutex<VecDeque<PortId>>>);

impl Grants {
    /// Remembers who waits for an answer to this message. A node port is never one.
    pub(crate) fn take(&self, message: &AnyMessage) {
        let last = message.0.last().and_then(aemp::Value::to_name);
        let Some(Ok(port)) = last.map(|text| PortId::parse(&text)) else { return };
        if port.is_node() {
            return;
        }
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !grants.contains(&port) {
            if grants.len() >= GRANTS_MAX {
                grants.pop_front();
            }
            grants.push_back(port);
        }
    }

    /// Whether this port waits, or waited, for an answer.
    pub(crate) fn has(&self, port: &PortId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(port)
    }
}
