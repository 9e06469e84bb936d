//! Compiled code: a file or what was evaluated, and how what goes wrong in it is told.

use std::collections::HashMap;

use aemp::Reason;
use parking_lot::RwLock;
use rhai::{AST, Dynamic, EvalAltResult, FnPtr, ParseError, Position};

/// More of an error is noise, and reasons travel.
const ERROR_MAX: usize = 2000;

/// Code, and what all its functions see.
pub(crate) struct Code {
    /// What it is called in errors: its file below the search path.
    pub(crate) file: String,
    pub(crate) ast: AST,
    /// How many values each function takes, captured ones included.
    arities: HashMap<String, Vec<usize>>,
    /// The variables of the outermost level, as functions see them: they can read them.
    globals: RwLock<HashMap<String, Dynamic>>,
}

impl Code {
    pub(crate) fn new(file: String, ast: AST) -> Code {
        let mut arities: HashMap<String, Vec<usize>> = HashMap::new();
        for function in ast.iter_functions() {
            arities.entry(function.name.into()).or_default().push(function.params.len());
        }
        // Constants are there while the outermost level still runs; it may call functions.
        let constants = ast.iter_literal_variables(true, false);
        let globals = constants.map(|(name, _, value)| (name.into(), value)).collect();
        Code { file, ast, arities, globals: RwLock::new(globals) }
    }

    /// From now on functions see these variables.
    pub(crate) fn set_globals(&self, globals: impl IntoIterator<Item = (String, Dynamic)>) {
        *self.globals.write() = globals.into_iter().collect();
    }

    pub(crate) fn global(&self, name: &str) -> Option<Dynamic> {
        self.globals.read().get(name).cloned()
    }

    /// Whether others may call this function.
    pub(crate) fn has(&self, function: &str) -> bool {
        self.ast
            .iter_functions()
            .any(|known| known.name == function && known.access == rhai::FnAccess::Public)
    }

    /// As many of the values as the function takes; missing ones are `()`, what is too much is left
    /// out, as in Perl.
    pub(crate) fn fit(&self, function: &str, captured: usize, mut values: Vec<Dynamic>) -> Vec<Dynamic> {
        let Some(arities) = self.arities.get(function) else { return values };
        let given = values.len() + captured;
        let takes = arities.iter().copied().filter(|takes| *takes <= given).max();
        let takes = takes.or_else(|| arities.iter().copied().min()).unwrap_or(given);
        values.resize(takes.saturating_sub(captured), Dynamic::UNIT);
        values
    }

    /// As [`Code::fit`], for a function value.
    pub(crate) fn fit_value(&self, function: &FnPtr, values: Vec<Dynamic>) -> Vec<Dynamic> {
        self.fit(function.fn_name(), function.curry().len(), values)
    }

    /// What an error says, with file and line.
    pub(crate) fn error_text(&self, error: EvalAltResult) -> String {
        error_text(&self.file, error)
    }

    /// The reason with which a port dies of an error.
    pub(crate) fn reason(&self, error: EvalAltResult) -> Reason {
        Reason::died(self.error_text(error))
    }
}

/// Why code cannot be compiled, with file and line.
pub(crate) fn parse_error_text(file: &str, ParseError(error, position): ParseError) -> String {
    located(file, position, &error.to_string())
}

fn error_text(file: &str, mut error: EvalAltResult) -> String {
    let mut position = error.position();
    // The innermost error says what happened and where.
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) =
        error
    {
        error = *inner;
        if !error.position().is_none() {
            position = error.position();
        }
    }
    error.clear_position();
    let text = match &error {
        EvalAltResult::ErrorRuntime(thrown, _) | EvalAltResult::ErrorTerminated(thrown, _) => {
            thrown.to_string()
        }
        EvalAltResult::ErrorTooManyOperations(_) => "it ran for too many steps (script_limits: steps)".into(),
        EvalAltResult::ErrorStackOverflow(_) => "too many calls within calls (script_limits: depth)".into(),
        other => other.to_string(),
    };
    located(file, position, &text)
}

fn located(file: &str, position: Position, text: &str) -> String {
    let text: String = text.chars().take(ERROR_MAX).collect();
    match position.line() {
        Some(line) => format!("{file}:{line}: {text}"),
        None => format!("{file}: {text}"),
    }
}
