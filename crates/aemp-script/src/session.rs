//! What other nodes have evaluated here: one piece of code after the other in one port, with the
//! variables and functions that earlier ones have left, as in Perl's package `main`.

use std::sync::Arc;

use aemp::{EvalReply, Node, PortId, Value};
use parking_lot::Mutex;
use rhai::{AST, Dynamic, EvalAltResult, Scope};

use crate::code::Code;
use crate::host::Host;
use crate::port::State;
use crate::quota::{Quota, Share};
use crate::run::{Fault, Run};
use crate::values::{to_wire_or_text, weigh};

/// What evaluated code is called in errors.
const FILE: &str = "(eval)";

/// Functions that are kept; with more the oldest pieces of code are forgotten, all at once.
const FUNCTIONS_MAX: usize = 500;

/// The same for the code that they come from, in pieces of the largest size: compiled it takes many
/// times its bytes.
const SOURCES_MAX: usize = 4;

/// What a piece of code that waits is reckoned with beside its bytes.
const PIECE: usize = 500;

/// What stays between two evaluations.
#[derive(Default)]
pub(crate) struct Session {
    scope: Scope<'static>,
    functions: AST,
    /// Bytes of the code that these functions come from.
    source: usize,
    share: Option<Share>,
}

/// The port in which code is evaluated, and what waits for it.
pub(crate) struct Evaluator {
    /// Not beside the variables: anyone who brings code need not wait for what runs.
    port: Mutex<Option<PortId>>,
    waiting: Arc<Quota>,
}

impl Evaluator {
    /// For this many bytes of code that waits.
    pub(crate) fn new(limit: usize) -> Evaluator {
        let waiting = Quota::new("bytes of code that waits (script_limits: memory)", limit);
        Evaluator { port: Mutex::default(), waiting }
    }
}

/// An answer that is given in any case: also if the port dies before it comes to it.
struct Answer(Option<EvalReply>);

impl Answer {
    fn give(mut self, outcome: Result<Vec<Value>, String>) {
        if let Some(answer) = self.0.take() {
            answer(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err("the port in which code is evaluated has ended; try again".into()));
        }
    }
}

/// Evaluates code in the port for that, after what came before.
pub(crate) fn evaluate(host: &Arc<Host>, node: &Node, text: String, answer: EvalReply) {
    let answer = Answer(Some(answer));
    if text.len() > host.limits.source {
        let limit = host.limits.source;
        return answer.give(Err(format!("the code has more than {limit} bytes (script_limits: source)")));
    }
    let (share, port) = match host.evaluator.waiting.take(PIECE + text.len()) {
        Ok(share) => (share, port(host, node)),
        Err(fault) => return answer.give(Err(fault.to_string())),
    };
    let port = match port {
        Ok(port) => port,
        Err(fault) => return answer.give(Err(fault.to_string())),
    };
    let host = host.clone();
    node.run_in(&port, move |cx| {
        drop(share);
        let (outcome, effects) = host.session.lock().run(&host, cx.node(), cx.me(), &text);
        effects.into_iter().for_each(|effect| effect.apply(cx));
        answer.give(outcome);
    });
}

/// The port in which code is evaluated; another one if the last one has died.
fn port(host: &Arc<Host>, node: &Node) -> Result<PortId, Fault> {
    let mut current = host.evaluator.port.lock();
    if let Some(port) = current.as_ref().filter(|port| host.ports.has(port)) {
        return Ok(port.clone());
    }
    let port = State::empty(host)?.open(node);
    *current = Some(port.clone());
    Ok(port)
}

impl Session {
    fn run(
        &mut self,
        host: &Arc<Host>,
        node: &Node,
        me: PortId,
        text: &str,
    ) -> (Result<Vec<Value>, String>, Vec<crate::effect::Effect>) {
        // Compiling and running count together.
        let _measured = host.measured();
        let code = match host.compile(FILE.into(), text) {
            Ok(code) => code,
            Err(error) => return (Err(error), Vec::new()),
        };
        self.functions
            .combine(code.ast.clone_functions_only_filtered(|_, _, _, name, _| !name.contains('$')));
        if code.ast.iter_functions().count() > 0 {
            self.source += text.len();
        }
        let mut ast = self.functions.clone();
        ast.combine(code.ast.clone());
        let code = Arc::new(Code::new(FILE.into(), ast));
        code.set_globals(self.scope.iter().map(|(name, _, value)| (name.into(), value)));
        Run::new(host, node, me, &code).perform(|engine| {
            let result = match engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &code.ast) {
                Err(error) => match *error {
                    EvalAltResult::Exit(value, _) => Ok(value),
                    other => Err(Box::new(other)),
                },
                result => result,
            };
            let kept = self.tidy(host);
            let result = result?;
            kept?;
            Ok(if result.is_unit() { Vec::new() } else { vec![to_wire_or_text(&result)] })
        })
    }

    /// Keeps the last variable of each name. What is too much is forgotten, all of it.
    fn tidy(&mut self, host: &Host) -> Result<(), Fault> {
        let kept = self.weigh().and_then(|weight| match &mut self.share {
            Some(share) => share.resize(weight),
            None => {
                self.share = Some(host.memory.take(weight)?);
                Ok(())
            }
        });
        let many = self.functions.iter_functions().count() > FUNCTIONS_MAX
            || self.source > SOURCES_MAX * host.limits.source;
        if kept.is_err() || many {
            *self = Session::default();
        }
        kept
    }

    fn weigh(&mut self) -> Result<usize, Fault> {
        self.scope = self.scope.clone_visible();
        let weights = self.scope.iter_raw().map(|(name, _, value)| Ok(name.len() + weigh(value)?));
        weights.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::{Limits, Scripts};

    #[tokio::test]
    async fn one_who_brings_code_does_not_wait_for_what_runs() {
        let scripts = Scripts::new([], Limits::default());
        let node = Node::builder().start().await.unwrap();
        let (sender, brought) = mpsc::channel();
        let running = scripts.0.session.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                evaluate(&scripts.0, &node, "1".into(), Box::new(drop));
                sender.send(()).unwrap();
            });
            let brought = brought.recv_timeout(Duration::from_secs(20));
            drop(running);
            brought.expect("it waits for nothing");
        });
    }

    #[tokio::test] // on one thread: what waits runs only where this test waits
    async fn code_that_waits_is_bounded_by_its_bytes() {
        let mut limits = Limits::default();
        limits.set("memory=100000").unwrap();
        let scripts = Scripts::new([], limits);
        let node = Node::builder().start().await.unwrap();
        let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..20 {
            let sender = sender.clone();
            let code = format!("//{}\n1", "x".repeat(10_000));
            evaluate(&scripts.0, &node, code, Box::new(move |answer| sender.send(answer).unwrap()));
        }
        let mut refused = 0;
        while let Ok(answer) = answers.try_recv() {
            let error = answer.unwrap_err();
            assert!(error.contains("bytes of code that waits"), "{error}");
            refused += 1;
        }
        assert_eq!(refused, 11);
        for _ in refused..20 {
            assert_eq!(answers.recv().await, Some(Ok(vec![Value::Int(1)])));
        }
        assert_eq!(scripts.0.evaluator.waiting.used(), 0);
    }
}
