//! How long files and functions may be.
//!
//! What is over its budget must be recorded in the ratchet with its size, and may only shrink from
//! there.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::ratchet::Ratchet;
use super::sources::{SourceFile, Sources};
use super::{Mode, Problem};

/// Lines of a file. Most should stay under 300; at 600 a file has more than one subject.
const FILE_BUDGET: usize = 600;

/// Lines of a function from its name to its last brace, comments included.
const FUNCTION_BUDGET: usize = 80;

/// Files whose length nobody chose, or that grow by their nature.
const UNLIMITED: [&str; 8] = [
    "Cargo.lock",
    "fuzz/Cargo.lock",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "bench/peers/Cargo.lock",
    "bench/peers/ractor-cluster/Cargo.lock",
    "xtask/ratchet.txt",
];

/// Compares the sizes with the recorded ones; gives the ratchet to be written in this mode, and the
/// problems left.
pub(super) fn check(sources: &Sources, recorded: &Ratchet, mode: Mode) -> (Ratchet, Vec<Problem>) {
    let mut sizes = BTreeMap::new();
    for file in sources.files() {
        measure(file, &mut sizes);
    }
    compare(&sizes, recorded, mode)
}

/// Everything over its budget, by name, with its size and its budget.
type Sizes = BTreeMap<String, (usize, usize)>;

fn measure(file: &SourceFile, sizes: &mut Sizes) {
    if !file.is_test() && !UNLIMITED.contains(&file.path.as_str()) {
        let lines = file.text.lines().count();
        if lines > FILE_BUDGET {
            sizes.insert(file.path.clone(), (lines, FILE_BUDGET));
        }
    }
    if let Some(syntax) = &file.syntax {
        let mut functions = Functions { path: &file.path, owner: String::new(), sizes };
        functions.visit_file(syntax);
    }
}

fn compare(sizes: &Sizes, recorded: &Ratchet, mode: Mode) -> (Ratchet, Vec<Problem>) {
    let mut next = Ratchet::default();
    let mut problems = Vec::new();
    for (name, &(size, budget)) in sizes {
        match recorded.get(name) {
            _ if mode == Mode::Bless => next.set(name, size),
            None => problems.push(Problem::new(name, format!("{size} lines, and {budget} are allowed"))),
            Some(limit) if size > limit => {
                next.set(name, limit);
                problems.push(Problem::new(
                    name,
                    format!("{size} lines, and {limit} are recorded: it may only shrink"),
                ));
            }
            Some(limit) => {
                next.set(name, size);
                if size < limit && mode == Mode::Check {
                    problems.push(loose(name));
                }
            }
        }
    }
    if mode == Mode::Check {
        problems.extend(recorded.names().filter(|name| !sizes.contains_key(*name)).map(loose));
    }
    (next, problems)
}

fn loose(name: &str) -> Problem {
    Problem::new(name, "it has shrunk; record that with `cargo run -p xtask -- tidy`")
}

/// Notes the functions and methods over the budget.
struct Functions<'a> {
    path: &'a str,
    /// The type whose methods are being visited, with `::` after it.
    owner: String,
    sizes: &'a mut Sizes,
}

impl Functions<'_> {
    fn note(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - name.span().start().line + 1;
        if lines > FUNCTION_BUDGET {
            let name = format!("{}::{}{name}", self.path, self.owner);
            self.sizes.insert(name, (lines, FUNCTION_BUDGET));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = std::mem::take(&mut self.owner);
        if let syn::Type::Path(path) = &*item.self_ty
            && let Some(last) = path.path.segments.last()
        {
            self.owner = format!("{}::", last.ident);
        }
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.note(&item.sig.ident, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(entries: &[(&str, usize)]) -> Sizes {
        entries.iter().map(|&(name, size)| (name.to_string(), (size, FILE_BUDGET))).collect()
    }

    fn recorded(size: usize) -> Ratchet {
        let mut ratchet = Ratchet::default();
        ratchet.set("a.rs", size);
        ratchet
    }

    #[test]
    fn long_functions_and_methods_are_found_by_name() {
        let body = "\n".repeat(FUNCTION_BUDGET);
        let text = format!("fn f() {{{body}}}\nstruct S;\nimpl S {{ fn g() {{{body}}} fn h() {{}} }}");
        let mut sizes = Sizes::new();
        measure(&SourceFile::new("a.rs".into(), text).unwrap(), &mut sizes);
        assert_eq!(sizes.keys().collect::<Vec<_>>(), ["a.rs::S::g", "a.rs::f"]);
        assert_eq!(sizes["a.rs::f"], (FUNCTION_BUDGET + 1, FUNCTION_BUDGET));
    }

    #[test]
    fn a_size_over_the_budget_is_a_problem_unless_recorded() {
        let now = sizes(&[("a.rs", 700)]);
        assert_eq!(compare(&now, &Ratchet::default(), Mode::Check).1.len(), 1);
        assert_eq!(compare(&now, &recorded(700), Mode::Check).1.len(), 0);
        assert_eq!(compare(&now, &recorded(699), Mode::Tighten).1.len(), 1);
    }

    #[test]
    fn a_recorded_size_goes_down_by_itself_and_up_only_when_blessed() {
        let now = sizes(&[("a.rs", 700)]);
        assert_eq!(compare(&now, &recorded(800), Mode::Check).1.len(), 1);
        assert_eq!(compare(&now, &recorded(800), Mode::Tighten), (recorded(700), Vec::new()));
        assert_eq!(compare(&now, &recorded(650), Mode::Tighten).0, recorded(650));
        assert_eq!(compare(&now, &recorded(650), Mode::Bless), (recorded(700), Vec::new()));
    }

    #[test]
    fn a_recorded_name_that_is_within_the_budget_again_must_go() {
        assert_eq!(compare(&Sizes::new(), &recorded(700), Mode::Check).1.len(), 1);
        assert_eq!(compare(&Sizes::new(), &recorded(700), Mode::Tighten), (Ratchet::default(), Vec::new()));
    }
}
