//! Who may use whom, and who may touch the world: checked over the paths that the
//! source files name.
//!
//! What is compiled for tests only is not looked at: items under `#[cfg(test)]`, and
//! the files of modules called `tests`.

mod paths;

use paths::{Path, paths};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// Used by everything, uses only itself.
    Base,
    /// What the tool is made of: each uses the base, and no other leaf.
    Leaf,
    /// What several commands share.
    Pipeline,
    /// What stands between a person and a command: flags, configuration, output.
    Front,
    /// What every run has.
    Run,
    /// One file a subcommand; none uses another.
    Commands,
    /// Dispatch. Nothing uses it.
    Top,
}

use Layer::{Base, Commands, Front, Leaf, Pipeline, Run, Top};

const LAYERS: &[(Layer, &[&str])] = &[
    (Base, &["atomic_file", "error", "http", "manifest", "naming", "product", "secret", "share", "stop"]),
    (Leaf, &["archive", "barrier", "envelope", "report", "retention", "staging", "store", "vault"]),
    (Pipeline, &["pipeline"]),
    (Front, &["cli", "config", "lock", "output", "prompt"]),
    (Run, &["context", "operation"]),
    (Commands, &["commands"]),
    (Top, &["lib", "main", "run"]),
];

/// The layers that each may use; within itself a leaf may use its own module only.
fn may_use(layer: Layer) -> &'static [Layer] {
    match layer {
        Base | Leaf => &[Base],
        Pipeline => &[Base, Leaf],
        Front => &[Base, Front],
        Run => &[Base, Leaf, Pipeline, Front, Run],
        Commands => &[Base, Leaf, Pipeline, Front, Run],
        Top => &[Base, Leaf, Pipeline, Front, Run, Commands, Top],
    }
}

/// Modules without I/O of their own, clock or environment.
const PURE: &[&str] = &["archive", "barrier", "envelope", "manifest", "naming", "product", "retention", "share"];

/// What a pure module may not name.
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
    &["hostname"],
    &["reqwest"],
    &["vaultrs"],
    &["aws_config"],
    &["aws_sdk_s3"],
];

const PRINTS: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];

fn layer_of(module: &str) -> Option<Layer> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// What is wrong in `source`, the file `file` below `src`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let module = module_path(file);
    let top = module.get(1).map_or("lib", String::as_str);
    let Some(layer) = layer_of(top) else { return vec![format!("{file}: no layer names the module {top}")] };
    let find = |path: &Path| {
        let says = wrong_use(layer, &module, path).or_else(|| wrong_touch(top, path))?;
        Some(format!("{file}: {}: {says}", path.join("::")))
    };
    paths(source, &module).iter().filter_map(find).collect()
}

fn wrong_use(layer: Layer, module: &[String], path: &[String]) -> Option<String> {
    let target = path.get(1).filter(|_| path[0] == "crate")?;
    let target_layer = layer_of(target)?;
    let own = module.get(1) == Some(target);
    if own && layer == Commands {
        let (mine, other) = (module.get(2)?, path.get(2)?);
        let is_command = other.starts_with(|c: char| c.is_lowercase()) && other != "self";
        return (is_command && mine != other).then(|| "one command uses another".to_owned());
    }
    let allowed = own || may_use(layer).contains(&target_layer);
    (!allowed).then(|| format!("{layer:?} may not use {target_layer:?}"))
}

fn wrong_touch(top: &str, path: &[String]) -> Option<String> {
    let last = path.last()?.as_str();
    let qualified = path.len() > 1;
    let touches_world = WORLD.iter().any(|prefix| begins_with(path, prefix)) || (qualified && last == "now");
    let ends_process =
        matches!(path, [.., module, function] if module == "process" && ["exit", "abort"].contains(&function.as_str()));
    if PURE.contains(&top) && touches_world {
        Some("a pure module touches the world".to_owned())
    } else if PRINTS.contains(&last) && !["output", "report"].contains(&top) {
        Some("only output and report print".to_owned())
    } else if qualified && ["stdout", "stderr"].contains(&last) && !["output", "report", "commands"].contains(&top) {
        Some("stdout and stderr belong to output, report and commands".to_owned())
    } else if ends_process && top != "main" {
        Some("only main ends the process".to_owned())
    } else {
        None
    }
}

fn begins_with(path: &[String], prefix: &[&str]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a == b)
}

/// `store/s3.rs` → `["crate", "store", "s3"]`; `lib.rs` → `["crate"]`.
fn module_path(file: &str) -> Vec<String> {
    let parts = file.trim_end_matches(".rs").split('/').filter(|part| *part != "lib");
    ["crate"].into_iter().chain(parts).map(str::to_owned).collect()
}

/// The files below `src` with their contents, those of test modules aside.
fn sources() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_tests = path.file_stem().unwrap() == "tests";
            if path.is_dir() && !is_tests {
                folders.push(path);
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
fn the_layers_hold() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    let found: Vec<_> = sources.iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Longest file below `src`, in lines. The aim is 300.
const MAX_LINES: usize = 350;

#[test]
fn files_stay_small() {
    let long = sources().into_iter().map(|(file, source)| (source.lines().count(), file));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}

#[test]
fn a_planted_violation_is_found() {
    for (file, source, says) in [
        ("retention.rs", "use crate::store::Store;", "Leaf may not use Leaf"),
        ("retention/proof.rs", "use super::super::vault;", "Leaf may not use Leaf"),
        ("retention/proof.rs", "mod inner { use super::super::super::vault; }", "Leaf may not use Leaf"),
        ("store/s3.rs", "use crate::{error::{Error, Result}, config::Config};", "Leaf may not use Front"),
        ("store/s3.rs", "fn f() { let _ = vec![crate::pipeline::run()]; }", "Leaf may not use Pipeline"),
        ("manifest.rs", "use crate::envelope::Key;", "Base may not use Leaf"),
        ("pipeline/prune.rs", "fn f(c: &crate::config::Config) {}", "Pipeline may not use Front"),
        ("output.rs", "use crate::commands::Done;", "Front may not use Commands"),
        ("commands/backup.rs", "use crate::commands::prune;", "one command uses another"),
        ("commands/backup.rs", "use super::{Done, prune::run};", "one command uses another"),
        ("commands/backup.rs", "use crate::run::run;", "Commands may not use Top"),
        ("naming.rs", "use std::{fmt, fs::File};", "touches the world"),
        ("naming.rs", "use chrono::Utc as Clock; fn f() { Clock::now(); }", "touches the world"),
        ("barrier/shamir.rs", "use std::time::{Duration, SystemTime};", "touches the world"),
        ("envelope.rs", "async fn f() { tokio::fs::read(p).await; }", "touches the world"),
        ("archive.rs", "fn f() -> bool { std::env::var_os(\"X\").is_some() }", "touches the world"),
        ("store.rs", "fn f() { println!(\"x\"); }", "only output and report print"),
        ("vault/login.rs", "use std::io::{self, stderr};", "belong to output"),
        ("run.rs", "fn f() { std::process::exit(1) }", "only main ends the process"),
        ("surprise.rs", "", "no layer names"),
    ] {
        let found = violations(file, source);
        assert_eq!(found.len(), 1, "{file}: {source}: {found:?}");
        assert!(found[0].starts_with(file) && found[0].contains(says), "{file}: {source}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, source) in [
        ("retention.rs", "use crate::naming::BackupName; mod proof; pub use proof::{to_prove};"),
        ("retention/proof.rs", "use super::{Candidate, is_ahead}; use crate::retention::plan;"),
        ("retention.rs", "/// crate::store::Store\n// std::fs\nconst S: &str = \"std::fs::read println!\";"),
        ("retention.rs", "#[cfg(test)] mod tests; #[cfg(test)] mod more { use crate::store::Store; }"),
        ("naming.rs", "use std::time::Duration; fn f(now: T) { g(now); x.now(); }"),
        ("naming.rs", "use std::{io as fs, fmt};"),
        ("error.rs", "mod inner { use super::super::error::Kind; }"),
        ("output.rs", "fn f() { std::io::stdout(); println!(); }"),
        (
            "commands/backup.rs",
            "use super::Done; use crate::commands::backup::run; use crate::{TOOL, config, pipeline};",
        ),
        ("commands.rs", "use crate::commands::prune; pub mod prune;"),
        ("main.rs", "fn main() { std::process::exit(vault_backup::run()) }"),
    ] {
        assert_eq!(violations(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn a_violation_names_file_and_path() {
    let found = violations("store.rs", "use crate::{error::Error, vault::Client};");
    assert_eq!(found, ["store.rs: crate::vault::Client: Leaf may not use Leaf"]);
}
