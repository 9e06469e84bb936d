//! Doors for code that was not registered: who else knows functions, and who evaluates what other
//! nodes send.
//!
//! There is no language in this crate. Without these doors, which is the default, only registered
//! functions run.

use aemp_proto::{AnyMessage, Reason, Value};

use crate::node::Node;
use crate::port::Context;

/// Knows functions beside those that were registered
/// ([`Builder::function_resolver`](crate::Builder::function_resolver)).
///
/// It is asked for the services of the node and for what this and other nodes spawn and call, but
/// never for other nodes in secure mode.
pub trait FunctionResolver: Send + Sync + 'static {
    /// Whether there may be a function with this name. Any peer can ask for any name, so it should
    /// not take long. It is asked in a port that ends if no function is found, and a panic ends
    /// only that.
    fn knows(&self, name: &str) -> bool;

    /// Runs the function in the context of a new port, as a registered one would be: it sets the
    /// receiver. `None` if there is no such function.
    ///
    /// # Errors
    ///
    /// The port dies with this reason.
    fn run(&self, cx: &mut Context<'_>, name: &str, arguments: AnyMessage) -> Option<Result<(), Reason>>;
}

/// Evaluates the code of `eval` requests ([`Builder::evaluate`](crate::Builder::evaluate)). It is
/// not asked in secure mode.
///
/// Everyone who may connect to the node can run all that the language allows.
pub trait Evaluate: Send + Sync + 'static {
    /// Evaluates code and then calls `answer`, once, with the results or with what was wrong. If it
    /// panics, or drops `answer`, the asker gets an error.
    ///
    /// It is called in a port of its own, for one piece of code after the other, in the order in
    /// which they came: what takes its time belongs into a task, or the others wait.
    fn evaluate(&self, node: &Node, code: String, answer: EvalReply);
}

/// Takes the outcome of an evaluation, and sends it if an answer was asked for.
pub type EvalReply = Box<dyn FnOnce(Result<Vec<Value>, String>) + Send>;
