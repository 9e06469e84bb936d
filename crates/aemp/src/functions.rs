//! The registered functions of a node: what other nodes may name.

use std::collections::HashMap;
use std::sync::Arc;

use aemp_proto::{AnyMessage, Body, Reason, typed};
use serde::de::DeserializeOwned;

use crate::code::{Evaluate, FunctionResolver};
use crate::message::misfit;
use crate::port::Context;
use crate::spawn_share::SpawnedPorts;

/// Characters of a function's name that are shown.
const FUNCTION_SHOWN: usize = 200;

/// A function that other nodes may name. Its error kills the port that it was to make.
pub(crate) type Function = Arc<dyn Fn(&mut Context<'_>, &Body) -> Result<(), Reason> + Send + Sync>;

/// The registered functions of a node, the names that other nodes have given to ports here, and why
/// some of these never came to exist.
#[derive(Default)]
pub(crate) struct Functions {
    pub(crate) by_name: HashMap<String, Function>,
    /// Who is asked for a name that is not registered.
    pub(crate) finder: Option<Arc<dyn FunctionResolver>>,
    /// Who evaluates the code of other nodes.
    pub(crate) evaluator: Option<Arc<dyn Evaluate>>,
    pub(crate) spawned: Arc<SpawnedPorts>,
}

/// Wraps a typed function.
pub(crate) fn function<A, E>(
    code: impl Fn(&mut Context<'_>, A) -> Result<(), E> + Send + Sync + 'static,
) -> Function
where
    A: DeserializeOwned,
    E: Into<Reason>,
{
    Arc::new(move |cx, args| {
        let args = typed::from_body(args).map_err(|error| misfit(&error))?;
        code(cx, args).map_err(Into::into)
    })
}

impl Functions {
    pub(crate) fn add(&mut self, name: &str, function: Function) {
        self.by_name.insert(name.into(), function);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Function> {
        self.by_name.get(name).cloned()
    }

    /// The function of this name, or who may have it. Looked for only where it runs.
    pub(crate) fn find(&self, name: &str) -> Option<Function> {
        if let Some(function) = self.get(name) {
            return Some(function);
        }
        let (finder, name) = (self.finder.clone()?, name.to_string());
        Some(Arc::new(move |cx, args| {
            let arguments = args.decode().map(AnyMessage).map_err(Reason::died)?;
            finder.run(cx, &name, arguments).unwrap_or_else(|| Err(unknown(cx, &name)))
        }))
    }
}

pub(crate) fn unknown(cx: &Context<'_>, function: &str) -> Reason {
    let text =
        format_args!("the function {:?} is not registered on node {}", shown(function), cx.node().id());
    Reason::text("spawn_refused", text)
}

/// As much of a function's name as fits into a text for people: peers choose these.
pub(crate) fn shown(function: &str) -> String {
    function.chars().take(FUNCTION_SHOWN).collect()
}
