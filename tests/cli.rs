//! Commands that need no server: help, versions, completions, manual pages, usage errors
//! and `keygen`. The snapshots in `cmd` have the full texts.

use crate::support::process::temp_dir;
use crate::support::tool;
use crate::support::tool::{Output, program};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

mod keygen;

#[path = "../build.rs"]
#[allow(dead_code, reason = "its `main` is for cargo")]
mod build_script;

fn run(args: &[&str]) -> Output {
    tool().args(args).run()
}

/// Returns all commands that the help lists.
fn commands() -> Vec<String> {
    let help = run(&["--help"]);
    let text = help.ok().text();
    let (_, rest) = text.split_once("\nCommands:\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.is_empty());
    // Continuation lines of descriptions have a deeper indentation.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.len() > 8 && names.contains(&"backup".to_owned()), "{names:?}");
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_help_with_examples_and_exit_codes() {
    let commands = commands();
    for command in &commands {
        let output = run(&[command, "--help"]);
        let text = output.ok().leaves(&[]).text();
        for part in [&format!("Usage: vault-backup {command}"), "Examples:\n", "Exit codes:\n", "124  deadline passed"]
        {
            assert!(text.contains(part), "no {part:?}: {output:?}");
        }
        let examples = text.split("Examples:\n").nth(1).unwrap().split("Exit codes:").next().unwrap();
        let own = examples.lines().filter_map(|line| line.trim().strip_prefix("vault-backup "));
        let own: Vec<_> = own.filter_map(|line| line.split(' ').find(|word| !word.starts_with('-'))).collect();
        assert!(
            own.contains(&command.as_str()) && own.iter().all(|name| commands.iter().any(|c| c == name)),
            "{own:?}"
        );
        assert_eq!(run(&["help", command]).ok().text(), text);
        let short = run(&[command, "-h"]);
        assert!(short.ok().text().len() < text.len());
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{output:?}");
    }
}

/// Variables that decide what the tool does, all empty, which counts as not set.
const VARIABLES: [&str; 9] = [
    "VAULT_ADDR",
    "VAULT_TOKEN",
    "BAO_ADDR",
    "BAO_TOKEN",
    "VAULT_BACKUP_STORE",
    "VAULT_BACKUP_KEY",
    "CREDENTIALS_DIRECTORY",
    "NO_COLOR",
    "CLICOLOR_FORCE",
];

/// The texts in `cmd`. `TRYCMD=overwrite` replaces them; a reviewer reads the difference.
#[test]
fn help_and_errors_are_the_snapshots() {
    let cmd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    for command in commands() {
        assert!(cmd.join("help").join(&command).with_extension("trycmd").exists(), "no snapshot of {command} --help");
    }
    // Git does not store these modes.
    for (key, mode) in [
        ("keys.in/open.key", 0o644),
        ("keys.in/short.key", 0o600),
        ("keys.in/good.key", 0o600),
        ("files.in/good.key", 0o600),
    ] {
        std::fs::set_permissions(cmd.join("errors").join(key), Permissions::from_mode(mode)).unwrap();
    }
    let cases = trycmd::TestCases::new();
    cases.register_bin("vault-backup", Path::new(env!("CARGO_BIN_EXE_vault-backup")));
    VARIABLES.iter().for_each(|name| _ = cases.env(*name, ""));
    cases.env("VAULT_BACKUP_CONFIG", "/dev/null").env("COLUMNS", "80").env("HOME", "/no/such/home");
    for file in ["help/*.trycmd", "errors/*.trycmd", "man/*.toml"] {
        cases.case(cmd.join(file));
    }
    cases.run();
}

#[test]
fn usage_errors_name_the_argument_and_the_allowed_values() {
    for (args, says) in [
        (&[][..], "Usage: vault-backup"),
        (&["bakcup"], "a similar subcommand exists: 'backup'"),
        (&["backup", "--prun"], "a similar argument exists: '--prune'"),
        (&["backup", "extra"], "unexpected argument 'extra'"),
        (&["backup", "--kind", "weekly"], "scheduled, daily, monthly"),
        (&["backup", "--verify", "none"], "full, head"),
        (&["backup", "--deadline", "5"], "must be a duration above zero such as 90s"),
        (&["backup", "-q", "-v"], "cannot be used with"),
        (&["backup", "--log-format", "xml"], "text, json"),
        (&["backup", "--store"], "a value is required"),
        (&["decrypt"], "<INPUT>"),
        (&["verify-restore", "--ephemeral", "--offline"], "cannot be used with"),
        (&["completions", "tcsh"], "bash"),
        (&["man", "nothing"], "no command is called 'nothing'"),
    ] {
        let output = run(args);
        output.code(2).stdout_is("").stderr_contains(says).leaves(&[]);
    }
}

/// A name of a file may be another user's.
#[test]
fn usage_errors_never_print_control_characters() {
    let hostile = "x\nvault-backup: error: forged\r\u{1b}[2J\u{9b}1m\u{202e}\u{200b}";
    for args in [
        &[hostile][..],
        &["backup", hostile],
        &["backup", &format!("--{hostile}")],
        &["backup", "--deadline", hostile],
        &["backup", "--kind", hostile],
        &["backup", &format!("--kind={hostile}")],
        &["inspect", "a", hostile],
        &["list", "--last", "5\n"],
        &["man", hostile],
        &["completions", hostile],
        &["list", "--store", hostile],
        &["list", "--config", hostile],
    ] {
        for more in [&[][..], &["--log-format", "json"]] {
            let output = tool().args(args).args(more).run();
            let shown = output.code(2).stdout_is("").stderr.as_str();
            assert!(
                !shown.chars().any(|c| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c)),
                "{shown:?}"
            );
            assert!(!shown.contains("\nvault-backup: error: forged"), "{shown}");
        }
    }
    run(&["backup", hostile]).stderr_contains(r"unexpected argument 'x\u{a}vault-backup: error: forged\u{d}\u{1b}[2J");
}

#[test]
fn usage_errors_with_json_print_a_document() {
    for (args, message) in [
        (&["backup", "--json", "--prun"][..], "unexpected argument '--prun' found"),
        (&["keygen", "--json"], "unexpected argument '--json' found"),
        (&["status", "--nagios", "--json"], "the argument '--nagios' cannot be used with '--json'"),
        (&["inspect", "--json"], "the following required arguments were not provided"),
        (&["list", "--json", "--config", "missing.toml"], "missing.toml"),
    ] {
        let output = run(args);
        let document = output.code(2).leaves(&[]).json();
        let error = &document["error"];
        assert!(error["message"].as_str().unwrap().contains(message), "{output:?}");
        assert_eq!((&error["exit_code"], &error["class"]), (&json!(2), &json!("usage")), "{output:?}");
        assert!(error["hint"].is_string() || args.contains(&"--config"), "{output:?}");
    }
    // Behind `--` it is an argument.
    run(&["decrypt", "--", "a", "--json"]).code(2).stdout_is("");
}

#[test]
fn usage_errors_with_json_logs_are_one_line() {
    let output = run(&["bakcup", "--log-format", "json"]);
    let line: Value = serde_json::from_str(output.fails(2, &[]).stdout_is("").stderr.trim_end()).unwrap();
    assert_eq!(line["message"], "unrecognized subcommand 'bakcup'");
    assert_eq!(line["hint"], "a similar subcommand exists: 'backup'");
}

#[test]
fn examples_in_help_are_never_wrapped() {
    for command in commands() {
        let narrow = tool().args([&command, "--help"]).env("COLUMNS", "40").run().text();
        let examples = narrow.split("Examples:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(run(&[&command, "--help"]).text().contains(examples), "{examples}");
        let indented = |line: &str| line.starts_with("  ") && !line.contains('\u{a0}');
        assert!(examples.lines().all(indented), "{examples}");
        let page = run(&["man", &command]).text();
        let (_, lines) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
        assert_eq!(lines.split("\n.fi").next().unwrap().lines().count(), examples.lines().count(), "{page}");
    }
}

#[test]
fn version_names_the_commit() {
    for flag in ["--version", "-V"] {
        run(&[flag]).ok().stdout_is(concat!("vault-backup ", env!("VAULT_BACKUP_VERSION"), "\n")).leaves(&[]);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commit = build_script::commit(root);
    assert_eq!(commit.is_some(), root.join(".git").exists());
    let version = build_script::version("1.2.3", commit.as_deref());
    let numbers: String = version.chars().map(|c| if c.is_ascii_hexdigit() { '0' } else { c }).collect();
    let plain = if commit.is_some() { "0.0.0 (0000000 0000-00-00)" } else { "0.0.0" };
    assert_eq!(numbers, plain, "{version}");
}

#[test]
fn version_without_a_repository_has_no_commit() {
    let archive = temp_dir();
    assert_eq!(build_script::commit(archive.path()), None);
    assert_eq!(build_script::version("1.2.3", None), "1.2.3");
    // Neither the commit of a repository around the sources.
    let inner = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(build_script::commit(&inner), None);
}

#[test]
fn global_options_before_and_after_the_command() {
    for args in [&["--store", "file:///no/such", "list"][..], &["list", "--store", "file:///no/such"]] {
        run(args).fails(4, &["file:///no/such"]);
    }
}

#[test]
fn completion_scripts_complete_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        for command in commands() {
            script.ok().stdout_contains(&command);
        }
        script.stdout_contains("log-format");
    }
    let script = run(&["completions", "bash"]).text();
    let typed = "
        how=$(complete -p vault-backup); how=${how#* -F }
        COMP_WORDS=(vault-backup bac); COMP_CWORD=1
        ${how%% *} vault-backup bac vault-backup; echo ${COMPREPLY[@]}";
    program("bash").args(["-euc", &(script + typed)]).run().ok().stdout_is("backup\n");
}

/// Backups of the store that the command line names complete, and nothing is printed that
/// would garble it when the store does not answer.
#[test]
fn completion_offers_the_backups_of_the_store() {
    let dir = temp_dir();
    let name = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";
    std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
    std::fs::write(dir.path().join(name), "x").unwrap();
    let store = format!("file://{}", dir.path().display());
    let names = "latest\nlatest:daily\nlatest:monthly\n";
    run(&["complete-backups", "--store", &store]).ok().stdout_is(&format!("{names}{name}\n"));
    run(&["complete-backups", "--store", "file:///no/such"]).ok().stdout_is(names);
    run(&["complete-backups"]).ok().stdout_is(names);

    let script = run(&["completions", "bash"]).text();
    let completes = |typed: &[&str], prev: &str| {
        let tool = env!("CARGO_BIN_EXE_vault-backup");
        let (last, line) = (typed.len(), format!("{tool} {}", typed.join(" ")));
        let ask = format!(
            "how=$(complete -p vault-backup); how=${{how#* -F }}
            COMP_WORDS=({tool} {}); COMP_CWORD={last}; COMP_LINE='{line}'
            ${{how%% *}} vault-backup '{}' '{prev}'; echo ${{COMPREPLY[@]}}",
            typed.join(" "),
            typed[last - 1],
        );
        let shell = program("bash").args(["-euc", &format!("{script}{ask}")]);
        std::fs::write(shell.home().join("daily.enc"), "x").unwrap();
        shell.run().ok().text()
    };
    // A bare name is never a file, so files are offered as paths.
    let both = format!("{name} ./daily.enc\n");
    assert_eq!(completes(&["--store", &store, "decrypt", "dai"], "decrypt"), both);
    assert_eq!(completes(&["--store", &store, "recover", "x", "--from", "dai"], "--from"), both);
    assert_eq!(completes(&["--store", &store, "verify-restore", "dai"], "verify-restore"), format!("{name}\n"));
    assert_eq!(completes(&["--store", &store, "restore", "./dai"], "restore"), "./daily.enc\n");
    assert!(!completes(&["--store", &store, "recover", "dai"], "recover").contains(name));
    for shell in ["zsh", "fish"] {
        run(&["completions", shell]).ok().stdout_contains("vault-backup complete-backups");
    }
    let zsh = run(&["completions", "zsh"]).text();
    assert_eq!(zsh.matches(":_vault_backup_backups'").count(), 5, "one per command that takes a backup");
}

#[test]
fn every_command_has_a_manual_page() {
    run(&["man"]).ok().stdout_contains(".TH vault-backup 1").stdout_contains("verify\\-restore").stdout_contains("124");
    for command in commands() {
        let page = run(&["man", &command]);
        page.ok().stdout_contains(&format!(".TH vault-backup-{command} 1")).stdout_contains(".SH NAME");
        page.stdout_contains(".SH OPTIONS").stdout_contains("deadline passed").leaves(&[]);
    }
}

#[test]
fn closed_stdout_is_no_failure() {
    let script = "\"$0\" man | head -c 1; echo \" ${PIPESTATUS[0]}\"";
    let output = program("bash").args(["-c", script, env!("CARGO_BIN_EXE_vault-backup")]).run();
    assert!(output.ok().text().ends_with(" 0\n"), "{output:?}");
}
