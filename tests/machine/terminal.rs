//! The tool in a real terminal, tmux, 80 columns wide.

use crate::backup::raced::{Request, large};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::{PATIENCE, wait_for};
use crate::support::tool::{Running, Tool, program};
use std::path::Path;
use std::process::Command;

const WIDTH: usize = 80;

/// A terminal in which a person works: an interactive shell, one command after another.
struct Terminal {
    server: Running,
}

impl Terminal {
    /// The shell knows what `env` gives it.
    fn start(env: impl FnOnce(Tool) -> Tool) -> Self {
        let tmux = program("tmux").envs([("TERM", "xterm"), ("LANG", "C.UTF-8"), ("PS1", "$ ")]);
        let tmux = env(tmux);
        let socket = tmux.home().join("socket");
        let mut server = tmux.arg("-S").arg(&socket).args(["-f", "/dev/null", "-D"]).start();
        server.wait_for("its socket", || socket.exists().then_some(()));
        Self { server }
    }

    fn ask(&self, args: &[&str]) -> String {
        let socket = self.server.home().join("socket");
        // The shell has the server's environment, but its PATH is the client's.
        let bin = Path::new(env!("CARGO_BIN_EXE_vault-backup")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = Command::new("tmux").env("PATH", path).arg("-S").arg(socket).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a command on an empty screen.
    fn run(&self, command: &str) {
        self.ask(&["new-session", "-d", "-x", &WIDTH.to_string(), "-y", "24", "-s", "s", "sh", "-i"]);
        wait_for("the prompt", PATIENCE, || (self.screen() == ["$"]).then_some(()));
        self.ask(&["send-keys", "-t", "s", "-l", &format!("{command}; echo \"[$?]\"")]);
        self.key("Enter");
    }

    /// Returns the text on the screen, without the empty end.
    fn screen(&self) -> Vec<String> {
        let text = self.ask(&["capture-pane", "-p", "-t", "s"]);
        text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The line below the command, as soon as it fulfils `wanted`: the only one there is.
    fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let look = || match &self.screen()[..] {
            [_, line] if wanted(line) => Some(line.clone()),
            _ => None,
        };
        wait_for("a line on the screen", PATIENCE, look)
    }

    /// Waits until `text` is on the screen, whatever else is.
    fn wait_for(&self, text: &str) {
        wait_for(text, PATIENCE, || said(&self.screen()).contains(text).then_some(()));
    }

    fn key(&self, key: &str) {
        self.ask(&["send-keys", "-t", "s", key]);
    }

    /// Waits for the end of the command: its exit code and the lines that it leaves.
    fn end(&self) -> (String, Vec<String>) {
        let over = || {
            let screen = self.screen();
            let at = screen.iter().position(|line| line.starts_with('['))?;
            (screen.last().unwrap() == "$").then_some((screen[at].clone(), screen[1..at].to_vec()))
        };
        let ended = wait_for("the end of the command", PATIENCE, over);
        assert_eq!(self.ask(&["display-message", "-p", "-t", "s", "#{cursor_flag}"]).trim_end(), "1", "no cursor");
        self.ask(&["send-keys", "-t", "s", "-l", "#"]);
        wait_for("an echo", PATIENCE, || (self.screen().last().unwrap() == "$ #").then_some(()));
        self.ask(&["kill-session", "-t", "s"]);
        ended
    }
}

/// A terminal whose programs know all that a backup to `place` needs.
fn terminal(place: &Place, vault: &str, s3: &str) -> Terminal {
    let site = &place.site;
    Terminal::start(|tool| {
        tool.envs(site.s3.env())
            .env("AWS_ENDPOINT_URL", s3)
            .env("VAULT_ADDR", vault)
            .env("VAULT_TOKEN", &site.token)
            .env("VAULT_BACKUP_KEY", &site.key)
            .env("VAULT_BACKUP_STORE", place.url())
            .env("ROOT", site.vault.root_token())
            .env("NAME", place.names().first().cloned().unwrap_or_default())
    })
}

/// Stage, bytes, rate and time in one line, with room for the echo of Ctrl-C.
#[track_caller]
fn assert_legible(line: &str, stage: &str, bytes: &str) {
    let (named, rest) = line.split_once(' ').unwrap();
    let words: Vec<_> = rest.split_whitespace().collect();
    assert!(named == stage && rest.contains(bytes) && line.chars().count() <= WIDTH - 2, "{line:?}");
    let (rate, time) = (words[words.len() - 2], words[words.len() - 1]);
    assert!(rate.ends_with("B/s") && time.ends_with('s') && time.len() <= 3, "{line:?}");
}

/// Returns the progress: the first number of MiB, and 0 before there is one.
fn mebibytes(line: &str) -> f64 {
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "MiB");
    at.and_then(|at| words[at - 1].parse().ok()).unwrap_or_default()
}

/// Returns the last message on the screen, with wrapped lines joined.
fn said(screen: &[String]) -> String {
    screen.concat()
}

#[test]
fn backup_on_a_terminal_shows_progress() {
    let place = Place::s3();
    let terminal = terminal(&place, &place.site.vault.address(), &place.site.s3.endpoint());
    terminal.run("vault-backup backup --kind daily");
    let (code, screen) = terminal.end();
    // No line of the progress is left, but what was made.
    let (said, name) = (said(&screen), &place.names()[0]);
    assert_eq!(code, "[0]", "{screen:?}");
    let rest = said.strip_prefix(&format!("{}/{name}: ", place.url())).unwrap_or_else(|| panic!("{said:?}"));
    let [size, time, rate, verified] = rest.split([',']).flat_map(|part| part.split(" in ")).collect::<Vec<_>>()[..]
    else {
        panic!("{said:?}");
    };
    assert!(
        size.ends_with("iB") && time.ends_with(" s") && rate.ends_with("iB/s") && verified == " stored and verified",
        "{said}"
    );
}

/// While Vault streams, the size of the snapshot is unknown.
#[test]
fn ctrl_c_during_the_upload_aborts_it() {
    let place = Place::s3();
    let body = large();
    let vault = place.site.vault_with(move |_| Reply::status(200).body(body.clone()).stall_after(20 << 20));
    let terminal = terminal(&place, vault.address(), &place.site.s3.endpoint());
    terminal.run("vault-backup backup");
    let line = terminal.line(|line| mebibytes(line) > 15.0);
    assert_legible(&line, "uploading", " MiB ");
    terminal.key("C-c");
    let (code, screen) = terminal.end();
    assert_eq!((&code[..], &screen[..]), ("[130]", &["vault-backup: error: interrupted".to_owned()][..]));
    place.assert_empty();
    // No lock either.
    terminal.run("vault-backup prune");
    assert_eq!(terminal.end().0, "[0]");
}

#[test]
fn ctrl_c_during_the_verification_clears_the_progress() {
    let place = Place::s3();
    let vault = place.site.vault_sending(large());
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match Request::ReadBack.is(call) {
        true => Reply::forward().stall_after(10 << 20),
        false => Reply::forward(),
    });
    let terminal = terminal(&place, vault.address(), s3.address());
    terminal.run("vault-backup backup");
    let line = terminal.line(|line| line.starts_with("verifying") && mebibytes(line) > 8.0);
    assert_legible(&line, "verifying", "[=====");
    terminal.key("C-c");
    let (code, screen) = terminal.end();
    let said = said(&screen);
    assert_eq!(code, "[130]");
    assert!(said.starts_with("vault-backup: error: s3://") && said.ends_with("interrupted"), "{said:?}");
}

/// A question does not keep a run from ending, and the terminal echoes again afterwards.
#[test]
fn deadline_ends_an_unanswered_prompt() {
    let place = Place::directory();
    place.backup();
    let terminal = terminal(&place, &place.site.vault.address(), "");
    let recover = "vault-backup recover secret/app --from $NAME --show";
    let question = "Unseal share 1 (not shown; empty when all are given):";
    terminal.run(recover);
    terminal.wait_for(question);
    terminal.ask(&["send-keys", "-t", "s", "-l", "abcdef"]);
    terminal.key("C-c");
    let expected =
        |code: &str, why: &str| (code.to_owned(), vec![question.to_owned(), format!("vault-backup: error: {why}")]);
    assert_eq!(terminal.end(), expected("[130]", "interrupted"));
    terminal.run(&format!("{recover} --deadline 2s"));
    assert_eq!(terminal.end(), expected("[124]", "the deadline passed"));

    terminal.run("VAULT_TOKEN=$ROOT vault-backup restore $NAME --address $VAULT_ADDR");
    terminal.wait_for("Type its cluster name to continue:");
    terminal.key("C-c");
    let (code, screen) = terminal.end();
    assert_eq!((&code[..], &screen.last().unwrap()[..]), ("[130]", "^Cvault-backup: error: interrupted"));
}

#[test]
fn list_has_colours_on_a_terminal_unless_no_color_is_set() {
    let place = Place::directory();
    place.backup();
    let name = place.names().remove(0);
    place.put("daily/2020-01-01/vault-snapshot-20200101-020000.enc", b"x");
    let terminal = terminal(&place, &place.site.vault.address(), "");
    let colours = |prefix: &str| {
        terminal.run(&format!("{prefix} vault-backup list"));
        let coloured = || Some(terminal.ask(&["capture-pane", "-p", "-e", "-t", "s"])).filter(|s| s.contains("[0]"));
        let screen = wait_for("the table", PATIENCE, coloured);
        let (code, lines) = terminal.end();
        assert!(code == "[0]" && lines.len() == 5 && lines[1].starts_with(&name), "one line each: {lines:?}");
        screen.matches('\u{1b}').count()
    };
    assert!(colours("NO_COLOR=") > 0 && colours("") > 0);
    assert_eq!(colours("NO_COLOR=1"), 0);
}
