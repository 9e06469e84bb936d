//! One call into a script: what it may use up, and what it has asked for.
//!
//! A script runs to its end before most of what it asked for is done, in its order: what belongs to
//! the context of the port (sending with regard to a receiver that is behind, monitors, timers) is
//! done there and not from within the language. Only what yields something is done at once: opening
//! a port, spawning one.

use std::cell::RefCell;
use std::sync::Arc;

use aemp::{Node, PortId};
use rhai::{Dynamic, Engine, EvalAltResult};

use crate::code::Code;
use crate::effect::Effect;
use crate::host::Host;
use crate::meter::Measured;

/// What a script could need at most: calls within calls at the limit of depth, in a build without
/// optimisation.
const STACK: usize = 16 << 20;

/// With less than this left a call gets a stack of its own.
const STACK_LOW: usize = 12 << 20;

/// Verbs of one call: each costs memory until the call is over.
const VERBS_MAX: usize = 10_000;

thread_local! {
    /// The call that this thread is in the middle of.
    static CURRENT: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Why a verb failed, as the language wants it.
pub(crate) type Fault = Box<EvalAltResult>;

/// One call.
pub(crate) struct Run {
    pub(crate) host: Arc<Host>,
    pub(crate) node: Node,
    pub(crate) me: PortId,
    pub(crate) code: Arc<Code>,
    effects: Vec<Effect>,
    verbs: usize,
    bytes: usize,
}

impl Run {
    pub(crate) fn new(host: &Arc<Host>, node: &Node, me: PortId, code: &Arc<Code>) -> Run {
        let (host, code) = (host.clone(), code.clone());
        Run { host, node: node.clone(), me, code, effects: Vec::new(), verbs: 0, bytes: 0 }
    }

    /// Runs a script on this thread, within the limits. Gives its result, or what went wrong, and
    /// what it has asked for, which must be done in either case.
    ///
    /// What is not returned of the script's values has to be dropped within `script`: they may
    /// be nested deeply.
    pub(crate) fn perform<T>(
        self,
        script: impl FnOnce(&Engine) -> Result<T, Fault>,
    ) -> (Result<T, String>, Vec<Effect>) {
        let (host, code) = (self.host.clone(), self.code.clone());
        let entered = Entered::new(self);
        let result = on_large_stack(|| script(&host.engine).map_err(|error| code.error_text(*error)));
        (result, entered.leave())
    }

    /// One more verb, with what it keeps.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.verbs += 1;
        if self.verbs > VERBS_MAX {
            return Err(format!("more than {VERBS_MAX} verbs in one call").into());
        }
        self.keep(bytes)
    }

    /// Something to be done when the script has ended.
    pub(crate) fn ask(&mut self, bytes: usize, effect: Effect) -> Result<(), Fault> {
        self.spend(bytes)?;
        self.effects.push(effect);
        Ok(())
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.host.limits.memory {
            let limit = self.host.limits.memory;
            return Err(format!(
                "one call sends and captures more than {limit} bytes (script_limits: memory)"
            )
            .into());
        }
        Ok(())
    }
}

/// Runs something that may call itself as often as the limits allow.
pub(crate) fn on_large_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_LOW, STACK, work)
}

/// Does something with the call that this thread is in the middle of.
pub(crate) fn with<T>(verb: impl FnOnce(&mut Run) -> Result<T, Fault>) -> Result<T, Fault> {
    CURRENT.with_borrow_mut(|run| match run {
        Some(run) => verb(run),
        None => Err("this is for ports only".into()),
    })
}

/// A function captures a value of this weight.
pub(crate) fn capture(bytes: usize) -> Result<(), Fault> {
    with(|run| run.keep(bytes))
}

/// What all functions of the running code see under this name.
pub(crate) fn global(name: &str) -> Option<Dynamic> {
    CURRENT.with_borrow(|run| run.as_ref()?.code.global(name))
}

/// A call is current as long as this lives, even if it panics.
struct Entered {
    _measured: Measured,
}

impl Entered {
    fn new(run: Run) -> Entered {
        let measured = run.host.measured();
        CURRENT.set(Some(run));
        Entered { _measured: measured }
    }

    fn leave(self) -> Vec<Effect> {
        CURRENT.take().map(|run| run.effects).unwrap_or_default()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
    }
}
