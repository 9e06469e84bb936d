//! Files that import each other in a circle: nobody can read one of them without all. Their number
//! is recorded for each crate, and may only shrink.
//!
//! A name is followed through `use` to the file that defines it, so a re-export makes no circle by
//! itself; tests do not count.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, UseTree};

use super::Problem;
use super::sources::{SourceFile, Sources};

/// The sources of a crate, and how many of its files the largest circle may have.
const LIMITS: [(&str, usize); 1] = [("crates/aemp/src/", 14)];

/// A path of names from the root of a crate.
type Names = Vec<String>;

/// What one file of a crate refers to.
#[derive(Default)]
struct Module {
    /// What its `use` items bind: a name, and what it stands for.
    bound: BTreeMap<String, Names>,
    /// Everything that its code names in other modules.
    named: BTreeSet<Names>,
}

/// Compares the largest circle of each crate with its limit.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    LIMITS.into_iter().filter_map(|(root, limit)| problem(root, limit, &largest(sources, root))).collect()
}

fn problem(root: &str, limit: usize, circle: &[Names]) -> Option<Problem> {
    let files: Vec<String> = circle.iter().map(|names| names.join("/")).collect();
    let what = match circle.len() {
        len if len > limit => {
            format!("{len} files import each other in a circle, and {limit} did: {}", files.join(" "))
        }
        len if len < limit => format!(
            "the largest circle has {len} files now; write that into LIMITS of xtask/src/tidy/circles.rs"
        ),
        _ => return None,
    };
    Some(Problem::new(root, what))
}

/// The largest set of files of a crate of which each leads to each.
fn largest(sources: &Sources, root: &str) -> Vec<Names> {
    let files = sources.rust().filter(|(file, _)| file.path.starts_with(root) && !file.is_test());
    let modules: BTreeMap<Names, Module> = files
        .map(|(file, syntax)| {
            let here = module_of(file, root);
            let mut reader = Reader { here: here.clone(), module: Module::default() };
            reader.visit_file(syntax);
            (here, reader.module)
        })
        .collect();
    let leads: BTreeMap<&Names, BTreeSet<Names>> = modules
        .iter()
        .map(|(here, module)| {
            let mut to: BTreeSet<Names> =
                module.named.iter().filter_map(|names| defined_in(&modules, names, 8)).collect();
            to.remove(here);
            (here, to)
        })
        .collect();
    let reached: BTreeMap<&Names, BTreeSet<&Names>> =
        leads.keys().map(|here| (*here, reach(&leads, here))).collect();
    let circles = reached.iter().map(|(here, reaches)| {
        reaches
            .iter()
            .filter(|other| reached[**other].contains(here))
            .map(|names| Names::clone(names))
            .collect()
    });
    circles.max_by_key(Vec::len).unwrap_or_default()
}

fn reach<'a>(leads: &'a BTreeMap<&'a Names, BTreeSet<Names>>, from: &'a Names) -> BTreeSet<&'a Names> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(here) = next.pop() {
        next.extend(leads.get(here).into_iter().flatten().filter(|to| reached.insert(*to)));
    }
    reached
}

/// The module that defines what these names lead to, if it is one of the crate.
fn defined_in(modules: &BTreeMap<Names, Module>, names: &[String], steps: usize) -> Option<Names> {
    let len = (0..=names.len()).rev().find(|len| modules.contains_key(&names[..*len]))?;
    let bound = names.get(len).and_then(|name| modules[&names[..len]].bound.get(name));
    match bound {
        Some(bound) if steps > 0 => {
            let whole: Names = bound.iter().chain(&names[len + 1..]).cloned().collect();
            defined_in(modules, &whole, steps - 1)
        }
        _ => Some(names[..len].to_vec()),
    }
}

fn module_of(file: &SourceFile, root: &str) -> Names {
    let inside = file.path.trim_start_matches(root).trim_end_matches(".rs");
    let names = inside.split('/').filter(|name| !["lib", "main", "mod"].contains(name));
    names.map(String::from).collect()
}

struct Reader {
    here: Names,
    module: Module,
}

impl Reader {
    /// The names from the root, if the path leads to a module of this crate.
    fn rooted(&self, names: &[String]) -> Option<Names> {
        let mut base = self.here.clone();
        let mut rest = names;
        match names.first()?.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ => return None,
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|name| name == "super") {
            base.pop();
            rest = &rest[1..];
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    fn import(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            UseTree::Name(name) if name.ident == "self" => {
                let bound = before.last().cloned().unwrap_or_default();
                self.bind(bound, before);
            }
            UseTree::Name(name) => self.bind(name.ident.to_string(), &with(&name.ident)),
            UseTree::Rename(renamed) => self.bind(renamed.rename.to_string(), &with(&renamed.ident)),
            UseTree::Glob(_) => self.bind(String::new(), before),
        }
    }

    fn bind(&mut self, name: String, names: &[String]) {
        // A path that begins with a name of its own is one of a child, or of another crate: of the
        // latter no module is found.
        let names = self.rooted(names).unwrap_or_else(|| [&self.here[..], names].concat());
        self.module.bound.insert(name, names.clone());
        self.module.named.insert(names);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|of| of.is_ident("test"))
    };
    attributes.iter().any(test)
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        match item {
            Item::Mod(module) if is_test(&module.attrs) => {}
            Item::Impl(of) if is_test(&of.attrs) => {}
            Item::Use(import) if is_test(&import.attrs) => {}
            Item::Use(import) => self.import(&[], &import.tree),
            other => visit::visit_item(self, other),
        }
    }

    /// `pub(crate)` names no module.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(names) = self.rooted(&names) {
            self.module.named.insert(names);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(files: &[(&str, &str)]) -> usize {
        let sources = Sources::of(files);
        largest(&sources, "crates/x/src/").len()
    }

    #[test]
    fn files_that_lead_to_each_other_are_a_circle() {
        let a = ("crates/x/src/a.rs", "use crate::b::B; pub(crate) struct A;");
        assert_eq!(circle(&[a, ("crates/x/src/b.rs", "use crate::c::C; struct B;")]), 0);
        assert_eq!(circle(&[a, ("crates/x/src/b.rs", "struct B(super::a::A);")]), 2);
        let test = "struct B; #[cfg(test)] mod tests { use crate::a::A; }";
        assert_eq!(circle(&[a, ("crates/x/src/b.rs", test)]), 0);
    }

    #[test]
    fn a_name_is_followed_to_where_it_is_defined() {
        let files = [
            ("crates/x/src/a.rs", "use crate::m::C;"),
            ("crates/x/src/m/mod.rs", "mod c; pub use c::C; use crate::a::A;"),
            ("crates/x/src/m/c.rs", "struct C;"),
        ];
        assert_eq!(circle(&files), 0);
    }
}
