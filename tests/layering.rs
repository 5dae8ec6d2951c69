//! The layers of the source tree: allowed imports, pure modules, printing. Checked over
//! the paths that the source files name.
//!
//! Code that is compiled for tests only is not checked: items under `#[cfg(test)]`, and
//! the files of modules called `tests`.

mod paths;

use paths::{Path, paths};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The layers, each a directory below `src`, and the layers that each may use.
///
/// A service uses no other service except for `http`; a command uses no other command.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &["base"]),
    ("formats", &["base", "formats"]),
    ("services", &["base", "formats"]),
    ("pipeline", &["base", "formats", "services", "pipeline"]),
    ("app", &["base", "formats", "services", "pipeline", "app"]),
    ("commands", &["base", "formats", "services", "pipeline", "app"]),
    ("top", &["base", "formats", "services", "pipeline", "app", "commands", "top"]),
];

/// The files directly below `src` that are no layer.
const TOP: &[&str] = &["lib", "main", "run"];

/// The one service that others may use.
const SHARED_SERVICE: &str = "http";

/// The directory without I/O, clock or environment.
const PURE: &str = "formats";

/// Names that a pure module may not use.
const WORLD: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["std", "io", "stdin"],
    &["tokio"],
    &["libc"],
    &["rustix"],
    &["tempfile"],
    &["reqwest"],
    &["vaultrs"],
    &["aws_config"],
    &["aws_sdk_s3"],
];

const PRINTS: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// The modules that may name stdout and stderr.
const TERMINAL: &[&[&str]] = &[&["app", "output"], &["services", "progress"], &["commands"]];

/// Longest file below `src`, in lines.
const MAX_LINES: usize = 300;

/// The layer of a module below the crate's root.
fn layer_of(name: &str) -> Option<&'static str> {
    let name = if TOP.contains(&name) { "top" } else { name };
    LAYERS.iter().map(|(layer, _)| *layer).find(|layer| *layer == name)
}

fn may_use(layer: &str, other: &str) -> bool {
    LAYERS.iter().any(|(name, allowed)| *name == layer && allowed.contains(&other))
}

/// All violations in `source`, the file `file` below `src`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let module = module_path(file);
    let top = module.get(1).map_or("lib", String::as_str);
    let Some(layer) = layer_of(top) else { return vec![format!("{file}: {top} is no layer")] };
    let find = |path: &Path| {
        let says = wrong_use(layer, &module, path).or_else(|| wrong_touch(layer, &module, path))?;
        Some(format!("{file}: {}: {says}", path.join("::")))
    };
    paths(source, &module).iter().filter_map(find).collect()
}

fn wrong_use(layer: &str, module: &[String], path: &[String]) -> Option<String> {
    let other = layer_of(path.get(1).filter(|_| path[0] == "crate")?)?;
    let is_module = |name: &String| name.starts_with(|c: char| c.is_lowercase()) && name != "self";
    let (mine, theirs) = (module.get(2), path.get(2).filter(|name| is_module(name)));
    if layer == other && ["services", "commands"].contains(&layer) {
        let (mine, theirs) = (mine?, theirs?);
        let shared = layer == "services" && theirs == SHARED_SERVICE;
        return (mine != theirs && !shared).then(|| format!("two modules of {layer} do not use each other"));
    }
    (layer != other && !may_use(layer, other)).then(|| format!("{layer} may not use {other}"))
}

fn wrong_touch(layer: &str, module: &[String], path: &[String]) -> Option<String> {
    let last = path.last()?.as_str();
    let qualified = path.len() > 1;
    let touches_world = WORLD.iter().any(|prefix| begins_with(path, prefix)) || (qualified && last == "now");
    let ends_process =
        matches!(path, [.., module, function] if module == "process" && ["exit", "abort"].contains(&function.as_str()));
    let terminal = TERMINAL.iter().any(|allowed| begins_with(&module[1..], allowed));
    if layer == PURE && touches_world {
        Some("a pure module touches the world".to_owned())
    } else if PRINTS.contains(&last) && !terminal {
        Some("only output and progress print".to_owned())
    } else if qualified && ["stdout", "stderr"].contains(&last) && !terminal {
        Some("stdout and stderr belong to output, progress and commands".to_owned())
    } else if ends_process && module.get(1).is_some_and(|top| top != "main") {
        Some("only main ends the process".to_owned())
    } else {
        None
    }
}

fn begins_with<S: AsRef<str>>(path: &[S], prefix: &[&str]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a.as_ref() == *b)
}

/// `services/store/s3.rs` → `["crate", "services", "store", "s3"]`; `lib.rs` → `["crate"]`.
fn module_path(file: &str) -> Vec<String> {
    let parts = file.trim_end_matches(".rs").split('/').filter(|part| *part != "lib");
    ["crate"].into_iter().chain(parts).map(str::to_owned).collect()
}

/// The files below `src` with their contents, except for test modules.
fn sources() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let is_tests = path.file_stem().unwrap() == "tests";
            if path.is_dir() && !is_tests {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_tests {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn layers_use_only_what_they_may() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    let found: Vec<_> = sources.iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Imports between the modules of two levels (`app::context`, `services::vault`, …).
fn imports(sources: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let name = |path: &[String]| {
        let layer = path.get(1)?;
        layer_of(layer).filter(|layer| *layer != "top")?;
        let module = path.get(2).filter(|name| name.starts_with(|c: char| c.is_lowercase()))?;
        Some(format!("{layer}::{module}"))
    };
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, source) in sources {
        let module = module_path(file);
        let Some(from) = name(&module) else { continue };
        let used = paths(source, &module);
        let used = used.iter().filter(|path| path[0] == "crate").filter_map(|path| name(path));
        graph.entry(from.clone()).or_default().extend(used.filter(|to| *to != from));
    }
    graph
}

/// Modules that can reach themselves by their imports.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let reaches_itself = |start: &String| {
        let (mut open, mut seen) = (vec![start], BTreeSet::new());
        while let Some(module) = open.pop() {
            for next in graph.get(module).into_iter().flatten() {
                if next == start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    graph.keys().filter(|module| reaches_itself(module)).cloned().collect()
}

#[test]
fn no_import_circle() {
    assert_eq!(circles(&imports(&sources())), [""; 0]);
}

#[test]
fn a_planted_import_circle_is_found() {
    let file = |name: &str, source: &str| (name.to_owned(), source.to_owned());
    let circle = [
        file("app/context.rs", "use crate::app::reporting::run;"),
        file("app/reporting.rs", "use crate::pipeline::prune;"),
        file("pipeline/prune.rs", "use crate::app::{context::Context};"),
        file("pipeline/upload.rs", "use crate::pipeline::prune;"),
    ];
    assert_eq!(circles(&imports(&circle)), ["app::context", "app::reporting", "pipeline::prune"]);
}

#[test]
fn files_stay_small() {
    let long = sources().into_iter().map(|(file, source)| (source.lines().count(), file));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}

#[test]
fn a_planted_violation_is_found() {
    for (file, source, says) in [
        ("formats/retention.rs", "use crate::services::store::Store;", "formats may not use services"),
        ("formats/retention/proof.rs", "use super::super::super::pipeline;", "formats may not use pipeline"),
        ("services/store/s3.rs", "use super::super::vault;", "do not use each other"),
        ("services/store/s3.rs", "mod inner { use super::super::super::vault; }", "do not use each other"),
        ("services/store/s3.rs", "use crate::{base::{error::Error}, app::config::Config};", "may not use app"),
        ("services/store/s3.rs", "fn f() { let _ = vec![crate::pipeline::run()]; }", "may not use pipeline"),
        ("base/error.rs", "use crate::formats::crypto::Key;", "base may not use formats"),
        ("pipeline/prune.rs", "fn f(c: &crate::app::config::Config) {}", "pipeline may not use app"),
        ("app/output.rs", "use crate::commands::Done;", "app may not use commands"),
        ("commands/backup.rs", "use crate::commands::prune;", "do not use each other"),
        ("commands/backup.rs", "use super::{Done, prune::run};", "do not use each other"),
        ("commands/backup.rs", "use crate::run::run;", "commands may not use top"),
        ("formats/naming.rs", "use std::{fmt, fs::File};", "touches the world"),
        ("formats/naming.rs", "use chrono::Utc as Clock; fn f() { Clock::now(); }", "touches the world"),
        ("formats/barrier/shamir.rs", "use std::time::{Duration, SystemTime};", "touches the world"),
        ("formats/crypto.rs", "async fn f() { tokio::fs::read(p).await; }", "touches the world"),
        ("formats/archive.rs", "fn f() -> bool { std::env::var_os(\"X\").is_some() }", "touches the world"),
        ("services/store.rs", "fn f() { println!(\"x\"); }", "only output and progress print"),
        ("services/vault/login.rs", "use std::io::{self, stderr};", "belong to output"),
        ("run.rs", "fn f() { std::process::exit(1) }", "only main ends the process"),
        ("surprise.rs", "", "is no layer"),
    ] {
        let found = violations(file, source);
        assert_eq!(found.len(), 1, "{file}: {source}: {found:?}");
        assert!(found[0].starts_with(file) && found[0].contains(says), "{file}: {source}: {found:?}");
    }
}

#[test]
fn allowed_uses_are_not_reported() {
    for (file, source) in [
        ("formats/retention.rs", "use crate::formats::naming::BackupName; mod proof; pub use proof::{to_prove};"),
        ("formats/retention/proof.rs", "use super::{Candidate, is_ahead}; use crate::formats::retention::plan;"),
        (
            "formats/retention.rs",
            "/// crate::services::store::Store\n// std::fs\nconst S: &str = \"std::fs println!\";",
        ),
        ("formats/retention.rs", "#[cfg(test)] mod tests; #[cfg(test)] mod m { use crate::services::store::Store; }"),
        ("formats/naming.rs", "use std::time::Duration; fn f(now: T) { g(now); x.now(); }"),
        ("formats/naming.rs", "use std::{io as fs, fmt};"),
        ("services/vault.rs", "use crate::services::http::Clients;"),
        ("base/error.rs", "mod inner { use super::super::error::Kind; }"),
        ("app/output.rs", "fn f() { std::io::stdout(); println!(); }"),
        ("commands/backup.rs", "use super::Done; use crate::commands::backup::run; use crate::{TOOL, app, pipeline};"),
        ("commands.rs", "use crate::commands::prune; pub mod prune;"),
        ("main.rs", "fn main() { std::process::exit(vault_backup::run()) }"),
    ] {
        assert_eq!(violations(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn a_violation_names_file_and_path() {
    let found = violations("services/store.rs", "use crate::{base::error::Error, services::vault::Client};");
    let says = "two modules of services do not use each other";
    assert_eq!(found, [format!("services/store.rs: crate::services::vault::Client: {says}")]);
}
