//! The language: Rhai with its standard library, without files, clocks and modules of its own,
//! within limits, and with the verbs.

use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, LexError, OptimizationLevel, Token};

use crate::bounded;
use crate::limits::Limits;
use crate::values::{self, Sealed};
use crate::verbs;
use crate::{meter, run};

/// Functions, variables and names of a script; what is written is bounded by the size of the
/// source, what lives by `memory`.
const NAMES_MAX: usize = 1000;

/// Makes the engine of a node.
pub(crate) fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    bounded::register(&mut engine, limits);
    limit(&mut engine, limits);
    compile_within_limits(&mut engine);
    capture_by_value(&mut engine);
    // What would run code from nowhere, or hold a thread.
    engine.disable_symbol("eval").disable_symbol("import").disable_symbol("export");
    engine.register_fn("sleep", |_: i64| no_sleep()).register_fn("sleep", |_: f64| no_sleep());
    engine.register_type_with_name::<Sealed>("sealed value");
    engine.on_print(|text| verbs::log_text(tracing::Level::INFO, text));
    engine.on_debug(|text, _, _| verbs::log_text(tracing::Level::DEBUG, text));
    verbs::register(&mut engine);
    engine
}

fn limit(engine: &mut Engine, limits: &Limits) {
    engine.set_max_operations(limits.steps);
    engine.set_max_call_levels(limits.depth);
    engine.set_max_expr_depths(limits.depth * 2, limits.depth * 2);
    engine.set_max_string_size(limits.text);
    engine.set_max_array_size(limits.items);
    engine.set_max_map_size(limits.items);
    engine.set_max_variables(NAMES_MAX);
    engine.set_max_functions(NAMES_MAX);
    engine.set_max_modules(0);
    engine.on_progress(|_| meter::must_end().map(Into::into));
}

/// What compiles counts as what runs does. Nothing is computed ahead: that would happen outside of
/// the limits.
fn compile_within_limits(engine: &mut Engine) {
    engine.set_optimization_level(OptimizationLevel::None);
    #[allow(deprecated, reason = "it is marked so because it may change, not because it will go")]
    engine.on_parse_token(|token, _, _| match meter::must_end() {
        None => token,
        Some(why) => Token::LexError(Box::new(LexError::Runtime(why))),
    });
}

/// A function takes what it captures with it as a copy. Rhai would share the variable between the
/// functions; but these may run in several ports at a time, and cycles of shared variables would
/// never be freed.
///
/// Rhai makes a variable shared and then reads it. What is found shared when it is read is made a
/// plain value again, and so the function gets a copy.
fn capture_by_value(engine: &mut Engine) {
    #[allow(deprecated, reason = "it is marked so because it may change, not because it will go")]
    engine.on_var(|name, _, mut context| {
        let scope = context.scope_mut();
        match scope.get(name) {
            None => return Ok(run::global(name)),
            Some(value) if !value.is_shared() => return Ok(None),
            Some(value) if value.is_read_only() => return Ok(Some(value.flatten_clone())),
            Some(_) => {}
        }
        if let Some(value) = scope.get_mut(name) {
            *value = std::mem::take(value).flatten();
            run::capture(values::weigh(value)?)?;
        }
        Ok(None)
    });
}

fn no_sleep() -> Result<(), Box<EvalAltResult>> {
    Err("a script must not hold its thread; use after(SECONDS, FUNCTION)".into())
}

impl From<values::ValueError> for Box<EvalAltResult> {
    fn from(error: values::ValueError) -> Box<EvalAltResult> {
        error.to_string().into()
    }
}

/// Whether a value is a function.
pub(crate) fn is_function(value: &Dynamic) -> bool {
    value.is_fnptr()
}
