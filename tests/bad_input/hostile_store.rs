//! A hostile server in place of the store: answers without an end in size, time or number. Every
//! command ends in time, with bounded memory and one line.

use crate::support::bounded::bounded;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::{Output, Tool};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The requests that an attack answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attacked {
    Listing,
    Manifest,
    Object,
}

impl Attacked {
    fn is(self, call: &Call) -> bool {
        let asks = |name: &str| call.query.split('&').any(|pair| pair.split('=').next() == Some(name));
        match self {
            Self::Listing => asks("list-type") && !call.query.contains("max-keys=1"),
            Self::Manifest => call.method == "GET" && call.path.ends_with(".manifest.json"),
            Self::Object => call.method == "GET" && call.path.ends_with(".enc"),
        }
    }
}

const LISTING: &str = "<ListBucketResult><IsTruncated>true</IsTruncated>";

fn endless_body(_: &Call) -> Reply {
    Reply::status(200).body(vec![b' '; 64 << 10]).endless(Duration::ZERO)
}

fn endless_error(_: &Call) -> Reply {
    Reply::status(503).body(vec![b' '; 64 << 10]).endless(Duration::ZERO)
}

/// One byte at a time, which never reaches the idle timeout.
fn trickle(_: &Call) -> Reply {
    Reply::status(200).body("<").endless(Duration::from_millis(500))
}

fn redirect(call: &Call) -> Reply {
    let here = format!("http://{}{}?{}", call.header("host"), call.path, call.query);
    Reply::status(307).header("Location", &here)
}

/// The SDK would need a hundred times its size.
fn many_elements(_: &Call) -> Reply {
    Reply::status(200).body(format!("{LISTING}{}</ListBucketResult>", "<Contents/>".repeat(700_000)))
}

fn nested(_: &Call) -> Reply {
    Reply::status(200).body(format!("{LISTING}{}", "<a>".repeat(2_000_000)))
}

fn repeated_token(_: &Call) -> Reply {
    Reply::status(200).body(format!("{LISTING}<NextContinuationToken>t</NextContinuationToken></ListBucketResult>"))
}

/// Pages without an end, each with another token and a thousand other backups.
fn endless_pages(call: &Call) -> Reply {
    let mut page = format!("{LISTING}<NextContinuationToken>{}</NextContinuationToken>", call.number);
    for n in 0..1000 {
        let (day, second) = (call.number % 28 + 1, call.number / 28 * 1000 + n);
        let time = format!("{:02}{:02}{:02}", second / 3600 % 24, second / 60 % 60, second % 60);
        let name = format!("daily/2025-11-{day:02}/vault-snapshot-202511{day:02}-{time}.enc");
        write!(page, "<Contents><Key>prod/{name}</Key><Size>9</Size></Contents>").unwrap();
    }
    Reply::status(200).body(page + "</ListBucketResult>")
}

/// Small pages without an end, of foreign objects.
fn endless_foreign_pages(call: &Call) -> Reply {
    let token = format!("<NextContinuationToken>{}</NextContinuationToken>", call.number);
    Reply::status(200).body(format!("{LISTING}{token}</ListBucketResult>"))
}

type Attack = (&'static str, fn(&Call) -> Reply, &'static [&'static str]);

/// The attacks on a listing.
const ON_LISTINGS: [Attack; 8] = [
    ("endless body", endless_body, &["too large: more than 8 MiB"]),
    ("endless error", endless_error, &["the store is overloaded"]),
    ("trickle", trickle, &["the transfer stalled"]),
    ("redirect", redirect, &[]),
    ("many elements", many_elements, &["too large: more than 65536 XML elements"]),
    ("nested", nested, &["too large"]),
    ("repeated token", repeated_token, &["does not advance"]),
    ("endless pages", endless_pages, &["more than 150000 objects"]),
];

/// The tool at the store behind a proxy that lets `answer` attack, and the proxy.
fn against(place: &Place, attacked: Attacked, answer: fn(&Call) -> Reply) -> (FaultServer, Tool) {
    let proxy = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match attacked.is(call) {
        true => answer(call),
        false => Reply::forward(),
    });
    let tool = place.tool();
    let config = "[run]\nidle_timeout = \"1s\"\n[staging]\nunseal_keys = [\"env:SHARE\"]\n";
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let tool = tool.env("VAULT_BACKUP_CONFIG", "config.toml").env("SHARE", "ab".repeat(33));
    let tool = tool.env("AWS_ENDPOINT_URL", proxy.address());
    (proxy, tool)
}

fn refused(output: &Output, says: &[&str], what: &str) {
    assert_eq!(output.status, Some(4), "{what}: {output:?}");
    assert!(output.stderr.len() < 4_096, "{what}: {output:?}");
    says.iter().for_each(|text| {
        output.stderr_contains(text);
    });
    output.leaves(&["config.toml"]);
}

#[test]
fn hostile_listings_are_bounded_for_every_command() {
    let place = Place::s3();
    place.backup();
    let before = place.names();
    let commands: [&[&str]; 7] = [
        &["list"],
        &["status"],
        &["prune"],
        &["backup"],
        &["inspect", "latest"],
        &["decrypt", "latest", "-o", "out"],
        &["verify-restore", "--offline"],
    ];
    for (n, args) in commands.into_iter().enumerate() {
        // Each command meets each kind once in two runs; `list` meets all.
        for (k, (attack, answer, says)) in ON_LISTINGS.into_iter().enumerate() {
            if n == 0 || (n + k) % 2 == 0 {
                let what = format!("{args:?}: {attack}");
                let (_proxy, tool) = against(&place, Attacked::Listing, answer);
                // A backup lists the names of one hour first, and these pages have others.
                let says = if args == ["backup"] && attack == "endless pages" { &[] } else { says };
                refused(&bounded(tool.args(args), &what), says, &what);
            }
        }
    }
    assert_eq!(place.names(), before, "nothing was written or deleted");
}

#[test]
fn doctor_ends_with_a_hostile_store() {
    let place = Place::s3();
    for (attack, answer, _) in ON_LISTINGS {
        let (_proxy, tool) = against(&place, Attacked::Listing, answer);
        let output = bounded(tool.env("VAULT_TOKEN", place.site.vault.root_token()).arg("doctor"), attack);
        assert_eq!(output.status, Some(4), "{attack}: {output:?}");
    }
}

/// Ten thousand pages take a while.
#[test]
fn a_listing_without_an_end_is_refused() {
    let place = Place::s3();
    let (proxy, tool) = against(&place, Attacked::Listing, endless_foreign_pages);
    let output = bounded(tool.arg("list"), "endless foreign pages");
    refused(&output, &["the listing does not end after 10000 pages"], "endless foreign pages");
    assert!(proxy.calls().len() <= 20_010);
}

#[test]
fn hostile_answers_to_reads_are_bounded() {
    let place = Arc::new(Place::s3());
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let attacks: [Attack; 4] = [
        ("endless body", endless_body, &[]),
        ("endless error", endless_error, &[]),
        ("trickle", trickle, &[]),
        ("redirect", redirect, &[]),
    ];
    let commands: [&[&str]; 5] = [
        &["status"],
        &["list"],
        &["inspect", &name],
        &["decrypt", &name, "-o", "out"],
        &["verify-restore", "--offline", &name],
    ];
    for args in commands {
        for attacked in [Attacked::Manifest, Attacked::Object] {
            for (attack, answer, _) in attacks {
                let what = format!("{args:?}: {attack} to {attacked:?}");
                let (proxy, tool) = against(&place, attacked, answer);
                let output = bounded(tool.args(args), &what);
                if proxy.calls().iter().any(|call| attacked.is(call)) {
                    assert_ne!(output.status, Some(0), "{what}: {output:?}");
                }
                output.leaves(&["config.toml"]);
            }
        }
    }
}
