//! The scripts of a node: modules that were loaded, and what all of them have together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aemp::{AnyMessage, Context, EvalReply, Evaluate, FunctionResolver, Node, Reason};
use parking_lot::Mutex;
use rhai::{Engine, Scope};
use thiserror::Error;

use crate::code::{Code, parse_error_text};
use crate::engine::engine;
use crate::entry::Entries;
use crate::limits::Limits;
use crate::meter::{Allocated, Measured};
use crate::names::{self, Name};
use crate::port::{self, State};
use crate::quota::{Ports, Quota, Share};
use crate::run::{Fault, Run};
use crate::session::{Evaluator, Session};
use crate::values::weigh;

/// Why a module was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The name is not valid.
    #[error("{0:?} is not a module name: write a::b:: or a::b")]
    Name(String),
    /// There is no such file.
    #[error("{file} is not in the search path for scripts ({path})")]
    Missing {
        /// The file that was looked for.
        file: String,
        /// Where it was looked for.
        path: String,
    },
    /// The file cannot be read or compiled, or its outermost level failed.
    #[error("{0}")]
    Failed(String),
}

/// The scripts of one node: finds functions in files, and evaluates code. Cheap to clone.
///
/// `a::b::f` is the function `f` in the file `a/b.rhai` of the first folder of the search path that
/// has it. The file is loaded when it is first needed, as Perl's `require` does, and stays. Files
/// are never looked for outside of the search path.
#[derive(Clone)]
pub struct Scripts(pub(crate) Arc<Host>);

/// What all calls into scripts of a node share.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    allocated: Option<Allocated>,
    pub(crate) ports: Ports,
    pub(crate) pending: Arc<Quota>,
    pub(crate) spawned: Arc<Quota>,
    pub(crate) memory: Arc<Quota>,
    /// The entries of the database that scripts have set.
    pub(crate) entries: Mutex<Entries>,
    pub(crate) session: Mutex<Session>,
    pub(crate) evaluator: Evaluator,
    path: Vec<PathBuf>,
    modules: Mutex<HashMap<String, Loaded>>,
    /// Held while a module is loaded: one after the other, each once.
    loading: Mutex<()>,
    numbers: AtomicI64,
}

/// A module; its variables count as long as it is there.
struct Loaded {
    code: Arc<Code>,
    _share: Share,
}

impl Scripts {
    /// Scripts in these folders, for one node.
    ///
    /// What one call allocates is bounded by its time only: see [`Scripts::measured`].
    pub fn new(path: impl IntoIterator<Item = PathBuf>, limits: Limits) -> Scripts {
        Scripts::with(path, limits, None)
    }

    /// The same, in a program whose allocator tells how much memory a thread has: a call that
    /// allocates more than [`Limits::working`] ends with an error.
    ///
    /// With jemalloc this is `allocated - deallocated` of the thread (`tikv_jemalloc_ctl::thread`).
    pub fn measured(
        path: impl IntoIterator<Item = PathBuf>,
        limits: Limits,
        allocated: Allocated,
    ) -> Scripts {
        Scripts::with(path, limits, Some(allocated))
    }

    fn with(
        path: impl IntoIterator<Item = PathBuf>,
        limits: Limits,
        allocated: Option<Allocated>,
    ) -> Scripts {
        Scripts(Arc::new(Host {
            engine: engine(&limits),
            limits,
            allocated,
            ports: Ports::new(limits.ports),
            pending: Quota::new("timers, monitors and calls (script_limits: pending)", limits.pending),
            spawned: Quota::new("spawned ports (script_limits: ports)", limits.ports),
            memory: Quota::new("bytes (script_limits: total)", limits.total),
            entries: Mutex::default(),
            session: Mutex::default(),
            evaluator: Evaluator::new(limits.memory),
            path: path.into_iter().collect(),
            modules: Mutex::default(),
            loading: Mutex::default(),
            numbers: AtomicI64::new(1),
        }))
    }

    /// Whether there is a file for this module (`a::b::`) or function (`a::b::f`).
    pub fn knows(&self, name: &str) -> bool {
        Name::parse(name).is_some_and(|name| name.find(&self.0.path).is_some())
    }

    /// Loads a module (`a::b::` or `a::b`), if it is not loaded already: runs the outermost level
    /// of its file, in a port of its own, whose ID is `SELF` there. It blocks its thread while it
    /// reads, compiles and runs, which is some 100 ms at most.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; nothing of the module stays.
    pub fn load(&self, node: &Node, module: &str) -> Result<(), LoadError> {
        let name = Name::parse(&format!("{}::", module.trim_end_matches("::")));
        let name = name.ok_or_else(|| LoadError::Name(module.into()))?;
        self.0.load(node, &name).map(drop)
    }
}

impl Host {
    /// A number for something that waits.
    pub(crate) fn number(&self) -> i64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn loaded(&self, module: &str) -> Option<Arc<Code>> {
        self.modules.lock().get(module).map(|loaded| loaded.code.clone())
    }

    fn load(self: &Arc<Host>, node: &Node, name: &Name) -> Result<Arc<Code>, LoadError> {
        let module = name.module();
        if let Some(code) = self.loaded(&module) {
            return Ok(code);
        }
        let _loading = self.loading.lock();
        if let Some(code) = self.loaded(&module) {
            return Ok(code);
        }
        let file = name.find(&self.path).ok_or_else(|| LoadError::Missing {
            file: name.file().display().to_string(),
            path: self.path.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
        })?;
        let shown = name.file().display().to_string();
        let failed = |text: String| LoadError::Failed(text);
        let text =
            names::read(&file, self.limits.source).map_err(|error| failed(format!("{shown}: {error}")))?;
        let code = self.compile(shown, &text).map_err(failed)?;
        let share = self.run_outermost(node, &code).map_err(failed)?;
        self.modules.lock().insert(module.clone(), Loaded { code: code.clone(), _share: share });
        tracing::info!(module, file = %file.display(), "a script was loaded");
        Ok(code)
    }

    /// Measures from now on what this thread uses up.
    pub(crate) fn measured(&self) -> Measured {
        Measured::begin(&self.limits, self.allocated)
    }

    /// Compiles code, on a stack that is large enough, within the limits of a call.
    pub(crate) fn compile(&self, file: String, text: &str) -> Result<Arc<Code>, String> {
        let _measured = self.measured();
        match crate::run::on_large_stack(|| self.engine.compile(text)) {
            Ok(ast) => Ok(Arc::new(Code::new(file, ast))),
            Err(error) => Err(parse_error_text(&file, error)),
        }
    }

    /// Runs the outermost level of a module in a port of its own. Functions see its variables
    /// afterwards.
    fn run_outermost(self: &Arc<Host>, node: &Node, code: &Arc<Code>) -> Result<Share, String> {
        let port = State::empty(self).map_err(|fault| code.error_text(*fault))?.open(node);
        let (outcome, effects) = Run::new(self, node, port.clone(), code).perform(|engine| {
            let mut scope = Scope::new();
            port::finished(engine.eval_ast_with_scope(&mut scope, &code.ast))?;
            let globals = scope.iter().map(|(name, _, value)| Ok((name.to_owned(), weigh(&value)?, value)));
            let globals = globals.collect::<Result<Vec<_>, Fault>>()?;
            let share = self.memory.take(globals.iter().map(|(_, weight, _)| weight).sum())?;
            code.set_globals(globals.into_iter().map(|(name, _, value)| (name, value)));
            Ok(share)
        });
        let failure = outcome.as_ref().err().cloned();
        node.run_in(&port, move |cx| {
            effects.into_iter().for_each(|effect| effect.apply(cx));
            if let Some(text) = failure {
                cx.fail(text);
            }
        });
        outcome
    }
}

impl FunctionResolver for Scripts {
    fn knows(&self, name: &str) -> bool {
        Scripts::knows(self, name)
    }

    fn run(&self, cx: &mut Context<'_>, name: &str, arguments: AnyMessage) -> Option<Result<(), Reason>> {
        let name = Name::parse(name)?;
        let code = match self.0.load(cx.node(), &name) {
            Ok(code) => code,
            Err(LoadError::Missing { .. }) => return None,
            Err(error) => return Some(Err(Reason::died(error))),
        };
        let Some(function) = &name.function else {
            // The module has a port of its own; this one was only asked to load it.
            cx.end(Reason::NORMAL);
            return Some(Ok(()));
        };
        if !code.has(function) {
            return Some(Err(Reason::died(format_args!("{}: there is no function {function}", code.file))));
        }
        Some(port::init(cx, &self.0, &code, function, &arguments))
    }
}

impl Evaluate for Scripts {
    fn evaluate(&self, node: &Node, code: String, answer: EvalReply) {
        crate::session::evaluate(&self.0, node, code, answer);
    }
}
