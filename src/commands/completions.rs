//! `completions`: a completion script for a shell. `complete-backups`: the names that the
//! script offers for a backup.

use crate::app::cli::Cli;
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::commands::CommandResult;
use crate::pipeline::catalog::Catalog;
use clap::CommandFactory;
use clap_complete::Shell;
use std::time::Duration;

/// Limit for listing the store while a user waits for the shell.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Names that select a backup without the store's listing.
const SELECTORS: &str = "latest\nlatest:daily\nlatest:monthly\n";

/// Returns the script: generated from the command line's definition, with the store's
/// backups as candidates wherever a command takes one.
pub(crate) fn run(shell: Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vault-backup", &mut script);
    let script = String::from_utf8_lossy(&script);
    CommandResult::text(Lines::fixed(match shell {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Zsh => zsh(&script),
        Shell::Fish => format!("{script}{FISH}"),
        _ => script.into_owned(),
    }))
}

/// Returns one name per line, newest first. Prints only the selectors if the store does
/// not answer in time: an error message would garble the command line.
pub(crate) async fn backups(context: &Context) -> CommandResult {
    let list = async { Catalog::read(context.store().await?.as_ref()).await };
    let mut names = SELECTORS.to_owned();
    if let Ok(Ok(catalog)) = Box::pin(tokio::time::timeout(TIMEOUT, context.stop.guard(list))).await {
        for backup in catalog.backups {
            names.push_str(backup.name.object());
            names.push('\n');
        }
    }
    CommandResult::text(names)
}

/// Wraps the generated function. Reads the words from the line, because bash splits URLs
/// at their colons, and passes on the options that select the store.
const BASH: &str = r#"
_vault_backup_with_backups() {
    _vault__backup "$@"
    local cur=${COMP_WORDS[COMP_CWORD]} prev=$3 command="" i
    local -a words global=()
    read -ra words <<<"${COMP_LINE-}"
    for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
            --store | --config) global+=("${words[i]}" "${words[i + 1]}") ;;
            --store=* | --config=*) global+=("${words[i]}") ;;
            decrypt | inspect | restore | verify-restore | recover) command=${words[i]} ;;
        esac
    done
    [[ -n $command && $cur != -* ]] || return 0
    if [[ $command == recover ]]; then [[ $prev == --from ]] || return 0; else [[ $prev != -* ]] || return 0; fi
    local IFS=$'\n' files=()
    # A bare name is never a file, and a drill takes none: bash must not add them.
    compopt +o default +o bashdefault 2>/dev/null || true
    if [[ $command != verify-restore ]]; then
        case $cur in
            /* | ./* | ../* | '~'*) files=($(compgen -f -- "$cur")) || true ;;
            *) files=($(compgen -P ./ -f -- "$cur")) || true ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$("${words[0]}" "${global[@]}" complete-backups 2>/dev/null)" -- "$cur") ${files[@]+"${files[@]}"}) || true
}
complete -F _vault_backup_with_backups -o bashdefault -o default vault-backup
"#;

const FISH: &str = r#"
complete -c vault-backup -n "__fish_seen_subcommand_from decrypt inspect restore verify-restore" -a "(vault-backup complete-backups 2>/dev/null)"
complete -c vault-backup -n "__fish_seen_subcommand_from recover" -l from -r -a "(vault-backup complete-backups 2>/dev/null)"
"#;

/// The function for zsh, placed after the first line, which must be `#compdef`.
const ZSH: &str = r#"
_vault_backup_backups() {
    local -a names
    names=(${(f)"$(vault-backup complete-backups 2>/dev/null)"})
    compadd -a names
    # A bare name is never a file.
    [[ $PREFIX != (/|./|../|\~)* ]] || _files
}
"#;

/// Replaces the default action of the arguments that take a backup.
fn zsh(script: &str) -> String {
    let takes_backup = |line: &str| {
        let starts = ["'::input -- ", "'::object -- ", "'(--file)--from="];
        starts.iter().any(|start| line.trim_start().starts_with(start))
    };
    let replace = |line: &str| match line.strip_suffix(":_default' \\") {
        Some(rest) if takes_backup(line) => format!("{rest}:_vault_backup_backups' \\\n"),
        _ => format!("{line}\n"),
    };
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    format!("{first}\n{ZSH}{}", rest.lines().map(replace).collect::<String>())
}
