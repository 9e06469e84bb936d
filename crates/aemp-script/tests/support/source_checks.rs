//! What must hold for any source of a script. A fuzz target and the test that replays its corpus
//! call this.

use std::time::{Duration, Instant};

use aemp::{Evaluate, Node, Value};
use aemp_script::{Limits, Scripts};

/// A build without optimisation on a busy machine may take so much longer than the limit.
const SOON: Duration = Duration::from_secs(20);

/// Bytes that the script may have allocated beyond what it may have: what one step makes.
const ONE_STEP: u64 = 32 << 20;

/// Bytes evaluated as code: it ends in time, with results or an error, takes no more memory than it
/// may, and what is asked of the node afterwards is done.
pub(crate) fn evaluate(bytes: &[u8], allocated: fn() -> u64) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(20 << 20)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut limits = Limits::default();
        for limit in ["steps=20000", "working=8000000", "text=100000", "items=1000", "ports=50", "pending=50"]
        {
            limits.set(limit).expect("a limit");
        }
        let scripts = Scripts::measured([], limits, allocated);
        let node = Node::builder().evaluate(scripts.clone()).start().await.expect("it starts");
        let before = allocated();
        let started = Instant::now();
        let _ = outcome(&scripts, &node, source).await;
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert!(allocated().saturating_sub(before) < limits.memory as u64 + ONE_STEP);
        // Names of an earlier evaluation are seen; numbers are not names.
        assert_eq!(outcome(&scripts, &node, "1").await, Ok(vec![Value::Int(1)]));
        node.shutdown().await;
    });
}

async fn outcome(scripts: &Scripts, node: &Node, source: &str) -> Result<Vec<Value>, String> {
    // A script may kill the port in which it runs; the next one gets another.
    let (sender, mut outcome) = tokio::sync::mpsc::unbounded_channel();
    scripts.evaluate(node, source.into(), Box::new(move |outcome| drop(sender.send(outcome))));
    tokio::time::timeout(SOON, outcome.recv()).await.expect("an end").expect("an answer is given in any case")
}
