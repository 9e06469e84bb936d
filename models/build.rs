//! Makes broken copies of the library's code between threads: the models have to find what is wrong
//! with each of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A module of the library, and where it is.
const MODULES: [(&str, &str); 7] = [
    ("slot", "aemp-ports/src/slot.rs"),
    ("sleepers", "aemp-ports/src/sleepers.rs"),
    ("table", "aemp-ports/src/table.rs"),
    ("doom", "aemp-ports/src/doom.rs"),
    ("decision", "aemp-ports/src/decision.rs"),
    ("reply_slot", "aemp-ports/src/reply_slot.rs"),
    ("write_turn", "aemp/src/runtime/write_turn.rs"),
];

/// The models, each with what it is about.
const MODELS: [&str; 6] = ["runners", "hand_over", "kills", "guards", "replies", "writing"];

/// One mistake: a module of the library with other text in it, and the model and test that find it.
struct Mistake {
    name: &'static str,
    module: &'static str,
    /// Each text stands in the module once.
    changes: &'static [(&'static str, &'static str)],
    found_by: (&'static str, &'static str),
}

const MISTAKES: [Mistake; 12] = [
    Mistake {
        name: "a_runner_with_queued_work_looks_for_a_sleeper_without_a_fence",
        module: "sleepers",
        changes: &[("        fence(Ordering::SeqCst);\n        if !self", "        if !self")],
        found_by: ("runners", "work_that_is_queued_while_a_runner_lies_down_is_done"),
    },
    Mistake {
        name: "a_runner_looks_for_work_without_a_fence",
        module: "sleepers",
        changes: &[("drop(numbers);\n        fence(Ordering::SeqCst);", "drop(numbers);")],
        found_by: ("runners", "work_that_is_queued_while_a_runner_lies_down_is_done"),
    },
    Mistake {
        name: "what_came_during_a_run_is_not_seen_at_its_end",
        module: "slot",
        changes: &[("let more = left || self.waiting > 0;", "let more = left;")],
        found_by: ("hand_over", "what_two_threads_send_is_handled_once_and_in_order"),
    },
    Mistake {
        name: "a_port_that_gets_something_is_not_queued",
        module: "slot",
        changes: &[("self.state = State::Queued;\n                Added::Schedule", "Added::Schedule")],
        found_by: ("hand_over", "what_two_threads_send_is_handled_once_and_in_order"),
    },
    Mistake {
        name: "the_next_port_in_a_slot_is_taken_for_the_last_one",
        module: "slot",
        changes: &[(
            "self.generation == generation && self.state != State::Free",
            "{ let _ = generation; self.state != State::Free }",
        )],
        found_by: ("hand_over", "nothing_of_a_port_that_has_ended_reaches_the_next_one_in_its_slot"),
    },
    Mistake {
        name: "a_slot_is_free_for_others_before_its_generation_has_changed",
        module: "slot",
        changes: &[("(removed, self.renew())", "(removed, true)")],
        found_by: ("hand_over", "nothing_of_a_port_that_has_ended_reaches_the_next_one_in_its_slot"),
    },
    Mistake {
        name: "a_kill_does_not_say_whom_to_wake",
        module: "doom",
        changes: &[("self.task.clone()", "None")],
        found_by: ("kills", "a_kill_ends_a_task_that_waits"),
    },
    Mistake {
        name: "a_kill_is_not_seen_by_a_task_that_begins",
        module: "doom",
        changes: &[(
            "self.waiting.push(kill);\n        self.doom.set(true);",
            "self.waiting.push(kill);\n        self.doom.set(self.task.is_some());",
        )],
        found_by: ("kills", "a_kill_ends_a_task_that_waits"),
    },
    Mistake {
        name: "who_withdraws_does_not_wait_for_who_looks",
        module: "decision",
        changes: &[("self.0.lock().take()", "self.0.try_lock()?.take()")],
        found_by: ("guards", "of_a_fire_and_a_withdrawal_one_has_the_action"),
    },
    Mistake {
        name: "a_call_waits_without_being_woken",
        module: "reply_slot",
        changes: &[("self.waiting = Some(task.clone());", "let _ = task;")],
        found_by: ("replies", "a_late_answer_does_not_reach_the_next_call"),
    },
    Mistake {
        name: "the_next_call_has_the_place_of_the_last_one",
        module: "slot",
        changes: &[("if !self.renew() {", "if false {")],
        found_by: ("replies", "a_late_answer_does_not_reach_the_next_call"),
    },
    Mistake {
        name: "what_is_added_while_another_thread_writes_is_left_to_it",
        module: "write_turn",
        changes: &[(
            "!self.0.try_lock().is_some_and(flush)",
            "self.0.try_lock().is_some_and(|turn| !flush(turn))",
        )],
        found_by: ("writing", "what_two_threads_add_is_written_once_and_in_order"),
    },
];

fn main() {
    let library = Path::new("../crates");
    let mut mistakes = String::new();
    for mistake in &MISTAKES {
        broken(&mut mistakes, library, mistake);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("mistakes.rs"), mistakes).expect("the folder for what is built");
    println!("cargo::rerun-if-changed=build.rs");
}

/// Writes a module with everything that the model of a mistake needs.
fn broken(out: &mut String, library: &Path, mistake: &Mistake) {
    let (model, test) = mistake.found_by;
    assert!(MODELS.contains(&model), "{model} is no model");
    writeln!(
        out,
        "#[allow(dead_code, unreachable_pub, unused_imports, clippy::all)] // a copy, of which a part is used\nmod {} {{",
        mistake.name
    )
    .expect("a string");
    out.push_str("use crate::{actor, extra, host, known, mailbox, mailbox_limits, port_no, sync};\n");
    for (name, file) in MODULES {
        let mut text = read(&library.join(file));
        if name == mistake.module {
            for (right, wrong) in mistake.changes {
                assert_eq!(text.matches(right).count(), 1, "{file} has {right:?} not once");
                text = text.replace(right, wrong);
            }
        }
        module(out, name, &text);
    }
    module(out, model, &read(&Path::new("src").join(model).with_extension("rs")).replace("#[test]", ""));
    let name = mistake.name;
    writeln!(out, "#[test]\nfn is_found() {{ crate::is_found({name:?}, {model}::{test}); }}\n}}")
        .expect("a string");
}

fn module(out: &mut String, name: &str, text: &str) {
    writeln!(out, "pub(crate) mod {name} {{\n{text}}}").expect("a string");
}

/// A source file without the docs of its module, which can stand only at the beginning of a file.
fn read(file: &Path) -> String {
    println!("cargo::rerun-if-changed={}", file.display());
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect()
}
