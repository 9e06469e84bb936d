//! Which crate may depend on which, and what the pure ones may not bring with them.
//!
//! Only what ends up in a build counts: tests may use what they like.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Problem;

/// Each crate of the workspace with those that it may depend on. Nothing points back up.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("aemp", &["aemp-macros", "aemp-ports", "aemp-proto"]),
    ("aemp-bench", &["aemp", "aemp-proto", "aemp-sim"]),
    ("aemp-cli", &["aemp", "aemp-config", "aemp-gateway", "aemp-nats", "aemp-script"]),
    ("aemp-config", &["aemp", "aemp-proto"]),
    ("aemp-gateway", &["aemp"]),
    ("aemp-interop", &["aemp", "aemp-config"]),
    ("aemp-macros", &[]),
    ("aemp-models", &[]),
    ("aemp-nats", &["aemp", "aemp-proto"]),
    ("aemp-ports", &["aemp-proto"]),
    ("aemp-proto", &[]),
    ("aemp-script", &["aemp"]),
    ("aemp-sim", &["aemp-ports", "aemp-proto"]),
    ("aemp-torture", &["aemp", "aemp-sim"]),
    ("xtask", &[]),
];

/// Crates that others can run in their own runtime, or simulate.
const PURE: [&str; 2] = ["aemp-ports", "aemp-proto"];

/// Crates that read a clock, draw random numbers or do input and output: none of these may come
/// with a pure one.
const IMPURE: [&str; 11] = [
    "async-std",
    "chrono",
    "getrandom",
    "mio",
    "openssl",
    "rand",
    "ring",
    "rustls",
    "smol",
    "socket2",
    "tokio",
];

/// Asks cargo for the dependencies and compares.
pub(super) fn check(root: &Path) -> Result<Vec<Problem>, Box<dyn Error>> {
    let metadata = metadata(root)?;
    let mut problems = Vec::new();
    for package in list(&metadata["packages"]) {
        directions(package, &mut problems);
    }
    for pure in PURE {
        let package = format!("--package={pure}");
        let tree = cargo(root, &["tree", &package, "--edges=normal,build", "--prefix=none"])?;
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        let brought = names.filter(|name| IMPURE.contains(name));
        let manifest = format!("crates/{pure}/Cargo.toml");
        problems.extend(brought.map(|name| Problem::new(&manifest, format!("it brings {name}"))));
    }
    Ok(problems)
}

/// What cargo says about the packages of the workspace.
pub(super) fn metadata(root: &Path) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_str(&cargo(root, &["metadata", "--no-deps", "--format-version=1"])?)?)
}

fn directions(package: &Value, problems: &mut Vec<Problem>) {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(of, _)| *of == name) else {
        problems.push(Problem::new(name, "say in xtask/src/tidy/direction.rs what this crate may depend on"));
        return;
    };
    let built = list(&package["dependencies"]).iter().filter(|dependency| dependency["kind"] != "dev");
    for on in built.filter_map(|dependency| dependency["name"].as_str()) {
        if ALLOWED.iter().any(|(of, _)| *of == on) && !allowed.contains(&on) {
            problems.push(Problem::new(name, format!("it must not depend on {on}")));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn cargo(root: &Path, args: &[&str]) -> Result<String, Box<dyn Error>> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(program).args(args).current_dir(root).output()?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, on: &str, kind: Value) -> usize {
        let package = serde_json::json!({ "name": name, "dependencies": [{ "name": on, "kind": kind }] });
        let mut problems = Vec::new();
        directions(&package, &mut problems);
        problems.len()
    }

    #[test]
    fn dependencies_point_down_except_in_tests() {
        assert_eq!(problems("aemp", "aemp-proto", Value::Null), 0);
        assert_eq!(problems("aemp-proto", "aemp", Value::Null), 1);
        assert_eq!(problems("aemp-macros", "aemp", "dev".into()), 0);
        assert_eq!(problems("aemp-cli", "clap", Value::Null), 0);
    }

    #[test]
    fn an_unknown_crate_must_be_placed() {
        assert_eq!(problems("aemp-new", "clap", Value::Null), 1);
    }
}
