//! Every function of the standard package with arguments at their limits: none may make more than a
//! few times what it was given.

use std::time::{Duration, Instant};

use rhai::packages::{Package, StandardPackage};
use rhai::{AST, Array, Blob, Dynamic, Engine, FnPtr, Map, Scope};

use crate::engine::engine;
use crate::limits::Limits;
use crate::meter::Measured;
use crate::run::on_large_stack;
use crate::{allocated, allocated_in_all};

/// How many functions the package has, under the names below. With another number the package has
/// changed: read it again.
const FUNCTIONS: usize = 811;

#[rustfmt::skip]
const NAMES: &[&str] = &[
    "E", "PI", "abs", "acos", "acosh", "all", "append", "as_string", "asin", "asinh", "atan", "atanh",
    "bits", "blob", "bytes", "ceiling", "chars", "chop", "clear", "contains", "cos", "cosh", "crop",
    "debug", "dedup", "drain", "elapsed", "end", "ends_with", "exit", "exp", "extract", "fill_with",
    "filter", "find", "find_map", "floor", "for_each", "fraction", "get", "get_bit", "get_bits",
    "get_fn_metadata_list", "hypot", "index_of", "insert", "int", "is_anonymous", "is_empty", "is_even",
    "is_exclusive", "is_finite", "is_inclusive", "is_infinite", "is_nan", "is_odd", "is_zero", "keys",
    "len", "ln", "log", "make_lower", "make_upper", "map", "max", "min", "mixin", "name", "order",
    "order_by", "order_desc", "pad", "parse_be_float", "parse_be_int", "parse_float", "parse_int",
    "parse_json", "parse_le_float", "parse_le_int", "pop", "print", "push", "range", "reduce",
    "reduce_rev", "remove", "replace", "retain", "reverse", "round", "set", "set_bit", "set_bits",
    "set_tag", "shift", "sign", "sin", "sinh", "sleep", "some", "sort", "sort_by", "sort_desc", "splice",
    "split", "split_rev", "sqrt", "start", "starts_with", "sub_string", "tag", "take", "tan", "tanh",
    "timestamp", "to_array", "to_binary", "to_blob", "to_chars", "to_debug", "to_degrees", "to_float",
    "to_hex", "to_int", "to_json", "to_lower", "to_octal", "to_radians", "to_string", "to_upper", "trim",
    "truncate", "values", "write_ascii", "write_be", "write_le", "write_utf8", "zip",
];

const OPERATORS: &[&str] =
    &["!=", "%", "&", "*", "**", "+", "-", "/", "<", "<<", "<=", "==", ">", ">=", ">>", "^", "|"];

const ASSIGNMENTS: &[&str] = &["+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", "&=", "|=", "^="];

/// A few times the arguments and what one call may have, with what a value costs beside its
/// content.
const ALLOCATED_MAX: u64 = 4 << 20;

/// Nothing takes so long, without optimisation and on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn limits() -> Limits {
    let time = Duration::from_millis(200);
    Limits { text: 1 << 16, items: 1000, working: 1 << 20, time, ..Limits::default() }
}

/// Values at their limits, the most telling ones first.
fn samples(limits: &Limits) -> Vec<Dynamic> {
    let long = || "a".repeat(limits.text);
    let numbers: Array = (0..limits.items as i64).map(Into::into).collect();
    let map: Map = (0..limits.items as i64).map(|n| (n.to_string().into(), n.into())).collect();
    let deep = (1..limits.items).fold(Dynamic::UNIT, |inner, _| Dynamic::from_array(vec![inner]));
    let escaped = "\0".repeat(limits.text);
    let texts: Array = vec![Dynamic::from(escaped[..limits.text / 10].to_owned()); 10];
    vec![
        long().into(),
        Dynamic::from_array(numbers),
        i64::MAX.into(),
        100_i64.into(),
        "".into(),
        Dynamic::from_map(map),
        Dynamic::from(FnPtr::new("f").unwrap()),
        'a'.into(),
        Dynamic::from_blob(Blob::from(vec![0xff; limits.items])),
        (1_i64 << 51).into(),
        Dynamic::from_array(texts),
        i64::MIN.into(),
        escaped.into(),
        deep,
        (-1_i64).into(),
        1e300.into(),
        Dynamic::from(0_i64..i64::MAX),
        Dynamic::UNIT,
    ]
}

struct Bench {
    engine: Engine,
    limits: Limits,
    samples: Vec<Dynamic>,
    /// What was found to take too much, one line for each code.
    found: Vec<String>,
}

impl Bench {
    fn new() -> Bench {
        let limits = limits();
        let samples = samples(&limits);
        Bench { engine: engine(&limits), limits, samples, found: Vec::new() }
    }

    /// `code` with all combinations of this many samples in the variables `a`, `b` and so on.
    fn try_all(&mut self, code: &str, arguments: usize) {
        let functions = "fn f() { 1 } fn f(x) { x } fn f(x, y) { y }";
        let ast = self.engine.compile(format!("{functions} {code}")).expect(code);
        let samples = match arguments {
            0..=2 => self.samples.len(),
            3 => 6,
            _ => 6,
        };
        for combination in 0..samples.pow(arguments as u32) {
            let places = (0..arguments).map(|place| combination / samples.pow(place as u32) % samples);
            if let Some(found) = self.try_one(&ast, &places.collect::<Vec<_>>()) {
                self.found.push(format!("{code} {found}"));
                return;
            }
        }
    }

    fn try_one(&self, ast: &AST, places: &[usize]) -> Option<String> {
        let mut scope = Scope::new();
        for (name, &place) in ["a", "b", "c", "d"].into_iter().zip(places) {
            scope.push_dynamic(name, self.samples[place].clone());
        }
        let (before, started) = (allocated_in_all(), Instant::now());
        let measured = Measured::begin(&self.limits, Some(allocated));
        let outcome = self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, ast);
        drop(measured);
        let (took, made) = (started.elapsed(), allocated_in_all() - before);
        drop(outcome);
        let too_much = made > ALLOCATED_MAX || took > SOON;
        too_much.then(|| format!("with the samples {places:?} has allocated {made} bytes and took {took:?}"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        assert!(self.found.is_empty(), "{:#?}", self.found);
    }
}

#[test]
fn the_names_are_those_of_the_package() {
    let package = StandardPackage::new().as_shared_module();
    assert_eq!(package.count().1, FUNCTIONS, "the package has changed: look for functions that can grow");
}

#[test]
fn no_function_makes_far_more_than_it_is_given() {
    on_large_stack(|| {
        let mut bench = Bench::new();
        for name in NAMES {
            for (arguments, list) in ["", "a", "a, b", "a, b, c"].into_iter().enumerate() {
                bench.try_all(&format!("{name}({list})"), arguments);
            }
        }
        for name in ["splice", "write_be", "write_le", "write_utf8", "write_ascii", "set_bits"] {
            bench.try_all(&format!("{name}(a, b, c, d)"), 4);
        }
    });
}

#[test]
fn no_operator_makes_far_more_than_it_is_given() {
    on_large_stack(|| {
        let mut bench = Bench::new();
        for operator in OPERATORS {
            bench.try_all(&format!("a {operator} b"), 2);
        }
        for operator in ASSIGNMENTS {
            bench.try_all(&format!("a {operator} b"), 2);
        }
        bench.try_all("`${a}${b}${a}${b}`", 2);
        bench.try_all("[a, b, a, b]", 2);
        bench.try_all("for x in a { let y = x; }", 1);
        bench.try_all("a[b]", 2);
        bench.try_all("a[b] = c", 3);
        bench.try_all("#{ a: a, b: b }", 2);
    });
}

#[test]
fn what_has_limits_of_its_own_does_what_the_package_does() {
    let (ours, theirs) = (engine(&Limits::default()), Engine::new());
    for code in [
        "let s = \"abcabc\"; s.replace(\"b\", \"xy\"); s",
        "let s = \"abcabc\"; s.replace('b', 'x'); s.replace(\"c\", 'z'); s.replace('a', \"\"); s",
        "let s = \"\"; s.replace(\"\", \"x\"); s",
        "let s = \"ab\"; s.replace(\"\", \"-\"); s",
        "let s = \"ab\"; s.pad(5, 'x'); s.pad(9, \"yz!\"); s.pad(3, 'q'); s.pad(-1, 'q'); s",
        "let s = \"\"; s.pad(3, \"äb\"); s",
        "\" a b  c \".split()",
        "\"\".split()",
        "\"a,b,,c\".split(\",\")",
        "\"abc\".split(\"\")",
        "\"\".split(\",\")",
        "\"abc\".split(\",\")",
        "\"a,b,,c\".split(',')",
        "\"\".split(',')",
        "\"a,b,,c\".split(',', 2)",
        "\"a,b,,c\".split(\",\", 3)",
        "\"a,b,,c\".split(\",\", 0)",
        "\"a,b,,c\".split(',', -5)",
        "\"a,b,,c\".split_rev(',')",
        "\"a,b,,c\".split_rev(',', 2)",
        "\"a,b,,c\".split_rev(\",\", 2)",
        "\"a,b,,c\".split_rev(\",,\")",
        "\"abc\".split(2)",
        "let s = \"aébcd\"; s.crop(1); s.crop(0, 3); s",
        "let s = \"aébcd\"; s.crop(-3); s",
        "let s = \"aébcd\"; s.crop(-9, 2); s",
        "let s = \"aébcd\"; s.crop(9); s",
        "let s = \"aébcd\"; s.crop(1, -1); s",
        "let s = \"aébcd\"; s.crop(1..3); s",
        "let s = \"aébcd\"; s.crop(-5..=1); s",
        "let s = \"aébcd\"; s.crop(3..1); s",
        "let a = [3, 1, 2]; a.sort(|x, y| x - y); a",
        "let a = [3, 1, 2, 1]; a.sort_by(|x, y| x < y); a.order(|x, y| y - x) + a.order_by(|x, y| y < x)",
        "let a = [1, 1, 2, 3, 3]; a.dedup(|x, y| x == y); a",
        "fn less(x, y) { x < y } fn same(x, y) { x == y } let a = [2, 1, 1]; a.sort(\"less\"); a.dedup(\"same\"); a",
        "let s = \"aébcd\"; let t = s.pop(2); s + t + s.pop(-1) + s.pop(9) + s.pop()",
        "blob(3, 65).to_string() + `${blob(2, 1)}`",
        "\"aé\".to_chars()",
        "let a = [1]; a.pad(3, [2]); a.pad(1, 0); a.pad(-1, 0); a",
        "[1, \"a\", 'c', #{ x: [1.5, ()] }, true].to_string()",
        "#{ a: \"q\\\"\", b: [#{}] }.to_debug()",
        "\"a\\n\".to_debug()",
        "\"x\" + [1, \"a\"] + #{ a: 1 }",
        "[1] + \"x\"",
        "#{ a: 1 } + \"x\"",
        "let s = \"x\"; s += [1]; s.append(#{ a: () }); s",
        "`${[1, \"a\"]}`",
        "const A = [1, 2]; A.contains(2) && A.index_of(2) == 1 && A.to_string() == \"[1, 2]\"",
        "[1, 2.0, \"a\", [1]].index_of([1])",
        "[1, 2, 1].index_of(1, 1)",
        "[1, 2, 1].index_of(1, -2)",
        "[1, 2, 1].index_of(7)",
        "[1, 2].contains(2.0)",
        "[[1], #{ a: 1 }].contains(#{ a: 1 })",
        "#{ a: 1, b: [true, (), 1.5], c: \"x\\\"y\", d: #{} }.to_json()",
        "parse_json(\"{\\\"a\\\": [1, -2.5, null, true, \\\"x\\\"]}\")",
    ] {
        let text =
            |outcome: Result<Dynamic, _>| outcome.map(|value| format!("{value:?}")).map_err(drop::<Box<_>>);
        assert_eq!(text(ours.eval(code)), text(theirs.eval(code)), "{code}");
    }
}

#[test]
fn json_is_json() {
    let ours = engine(&Limits::default());
    let json: String = ours.eval("#{ \"\\u0001\\\"é\": \"\\u001b\" }.to_json()").unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap(),
        serde_json::json!({"\u{1}\"é": "\u{1b}"})
    );
}
