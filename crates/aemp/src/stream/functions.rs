//! The functions of a node that take data connections.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use aemp_proto::{Body, NodeId, Reason, typed};
use serde::de::DeserializeOwned;

use super::io::Stream;
use crate::message::misfit;
use crate::node::Node;

/// What runs with a stream.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;

/// A function whose arguments have been read.
pub(super) type Ready = Box<dyn FnOnce(Node, Stream) -> Work + Send>;

pub(super) type Function = Arc<dyn Fn(&Body) -> Result<Ready, Reason> + Send + Sync>;

/// The functions that take streams, by name.
#[derive(Default)]
pub(crate) struct StreamFunctions(HashMap<String, Function>);

impl StreamFunctions {
    /// Registers a function.
    pub(crate) fn add<A, F, E>(
        &mut self,
        name: &str,
        code: impl Fn(Node, Stream, A) -> F + Send + Sync + 'static,
    ) where
        A: DeserializeOwned + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Reason>,
    {
        let code = Arc::new(code);
        let function = move |args: &Body| {
            let args: A = typed::from_body(args).map_err(|error| misfit(&error))?;
            let code = code.clone();
            let work = move |node, stream| -> Work {
                Box::pin(async move { code(node, stream, args).await.map_err(Into::into) })
            };
            Ok(Box::new(work) as Ready)
        };
        self.0.insert(name.into(), Arc::new(function));
    }

    /// The function with this name. It reads its arguments with code of their types.
    pub(super) fn find(&self, name: &str, node: &NodeId) -> Result<Function, Reason> {
        self.0.get(name).cloned().ok_or_else(|| {
            let text = format_args!("no function {name:?} for streams is registered on node {node}");
            Reason::text("refused", text)
        })
    }
}
