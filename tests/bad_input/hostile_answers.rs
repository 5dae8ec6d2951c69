//! Answers of servers that act on a terminal, forge a line or have no end: Vault, S3, webhooks, and
//! the programs that give tokens and credentials.

use super::hostile_text::{HOSTILE, harmless};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::{Place, next_second};
use crate::support::production::Site;
use crate::support::site::SNAPSHOT;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// A text of 1 MiB.
fn long() -> String {
    format!("{HOSTILE}{}", "A".repeat(1 << 20))
}

/// `text` as character data of XML.
fn xml(text: &str) -> String {
    text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
}

#[test]
fn errors_of_vault_are_harmless() {
    let place = Place::directory();
    for text in [HOSTILE.to_owned(), long()] {
        for (path, status) in [(SNAPSHOT, 403), (SNAPSHOT, 500), ("/v1/sys/seal-status", 500), ("/v1/sys/health", 400)]
        {
            let body = json!({ "errors": [text, HOSTILE], "warnings": [text] });
            let vault = FaultServer::proxy(&place.site.vault.address(), move |call| match call.path == path {
                true => Reply::json(status, &body).header("Warning", "199 - \"FORGED\u{a0}\""),
                false => Reply::forward(),
            });
            for command in [&["backup"][..], &["doctor"]] {
                let output = harmless(|| place.tool().env("VAULT_ADDR", vault.address()), command);
                assert_eq!(output.status, Some(3), "{output:?}");
            }
        }
    }
    place.assert_empty();
}

/// What a Vault says of itself goes into header, manifest, plan and messages.
#[test]
fn names_and_versions_of_vault_are_harmless() {
    let place = Place::both();
    for (place, text) in place.iter().zip([HOSTILE.to_owned(), HOSTILE.repeat(3)]) {
        let upstream = place.site.vault.address();
        let health = move |text: &str| {
            json!({"initialized": true, "sealed": false, "standby": false, "version": text, "cluster_id": text,
                "cluster_name": text})
        };
        let seal = move |text: &str| {
            json!({"initialized": true, "sealed": false, "type": text, "t": 1, "n": 1, "progress": 0, "version": text,
                "storage_type": "raft", "cluster_name": text, "cluster_id": text})
        };
        let vault = FaultServer::proxy(&upstream, move |call| match call.path.as_str() {
            "/v1/sys/health" => Reply::json(200, &health(&text)),
            "/v1/sys/seal-status" => Reply::json(200, &seal(&text)),
            _ => Reply::forward(),
        });
        let tool = || {
            next_second();
            place.tool().env("VAULT_ADDR", vault.address())
        };
        for command in
            [&["backup", "--kind", "daily"][..], &["doctor"], &["list", "--long"], &["status"], &["inspect", "latest"]]
        {
            _ = harmless(tool, command);
        }
        let address = vault.address();
        let root = || tool().env("VAULT_TOKEN", place.site.vault.root_token());
        _ = harmless(root, &["restore", "latest", "--dry-run", "--address", address]);
        _ = harmless(root, &["restore", "latest", "--confirm", "x", "--address", address]);
    }
}

#[test]
fn messages_of_a_drill_are_harmless() {
    let site = Site::new();
    let staging = FaultServer::start(|call| match call.path.as_str() {
        "/v1/sys/health" => Reply::json(
            200,
            &json!({"initialized": true, "sealed": false, "standby": false,
            "version": "99.0.0", "cluster_id": HOSTILE, "cluster_name": HOSTILE}),
        ),
        "/v1/sys/seal-status" => Reply::json(
            200,
            &json!({"initialized": true, "sealed": false, "type": "shamir", "t": 1,
            "n": 1, "progress": 0, "version": HOSTILE, "storage_type": "raft", "cluster_name": HOSTILE}),
        ),
        _ => Reply::json(500, &json!({ "errors": [long()] })),
    });
    let config = format!("[staging]\naddress = {:?}\ntoken = \"env:ROOT\"\n{}", staging.address(), crate::drill::LOGIN);
    let output = harmless(|| site.tool(&config), &["verify-restore"]);
    assert_ne!(output.status, Some(0), "{output:?}");
}

#[test]
fn errors_of_s3_are_harmless() {
    let place = Place::s3();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    for (text, status) in [(HOSTILE.to_owned(), 403), (long(), 404)] {
        let (code, message) = (xml(HOSTILE), xml(&text[..text.len().min(200_000)]));
        let body =
            format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{code}</RequestId></Error>");
        let s3 = FaultServer::start(move |_| {
            Reply::status(status).header("Content-Type", "application/xml").body(body.clone())
        });
        for command in [
            &["list"][..],
            &["status"],
            &["status", "--nagios"],
            &["prune"],
            &["inspect", &name],
            &["decrypt", &name],
            &["verify-restore", "--offline"],
            &["backup", "--kind", "daily"],
            &["doctor"],
        ] {
            let output = harmless(|| place.tool().env("AWS_ENDPOINT_URL", s3.address()), command);
            assert_ne!(output.status, Some(0), "{output:?}");
        }
    }
}

#[test]
fn answers_of_notification_endpoints_are_harmless() {
    let place = Place::directory();
    let answers: [fn() -> Reply; 4] = [
        || Reply::status(500).body(HOSTILE),
        || Reply::status(400).body(long()),
        || Reply::json(403, &json!({ "error": HOSTILE })),
        || Reply::status(302).header("Location", "http://127.0.0.1:9/FORGED%0aFORGED"),
    ];
    for answer in answers {
        let hook = FaultServer::start(move |_| answer());
        let config = format!(
            "[[notify]]\ntype = \"webhook\"\nurl = \"{0}/hook\"\n[[notify]]\ntype = \"slack\"\nurl = \"{0}/slack\"\n\
             [ping]\nurl = \"{0}/ping\"\n",
            hook.address()
        );
        let tool = || {
            next_second();
            let tool = place.tool();
            std::fs::write(tool.home().join("config.toml"), &config).unwrap();
            tool.args(["--config", "config.toml"])
        };
        let output = harmless(tool, &["doctor", "--notify-test"]);
        assert_ne!(output.status, Some(0), "{output:?}");
        assert!(!hook.calls().is_empty());
    }
}

#[test]
fn output_of_programs_is_harmless() {
    let place = Place::s3();
    let program = |tool: &crate::support::tool::Tool, script: &str| {
        let path = tool.home().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path.display().to_string()
    };
    let text = HOSTILE.replace('\n', "\\n");
    for script in [
        format!("printf '{text}'; printf '{text}' >&2; exit 3"),
        format!("printf '{{\"Version\":1,\"{text}\":1'"),
        format!("printf '{text}' >&2; head -c 1000000 /dev/zero | tr '\\0' A >&2; exit 1"),
    ] {
        let with_credentials = || {
            let tool = place.tool().env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "");
            let config = format!("[default]\ncredential_process = {}\n", program(&tool, &script));
            std::fs::write(tool.home().join("aws"), config).unwrap();
            tool.env("AWS_CONFIG_FILE", "aws").env("AWS_EC2_METADATA_DISABLED", "true")
        };
        assert_eq!(harmless(with_credentials, &["list"]).status, Some(4));
        let with_helper = || {
            let tool = place.tool().env("VAULT_TOKEN", "");
            let helper = program(&tool, &script);
            std::fs::write(tool.home().join(".vault"), format!("token_helper = {helper:?}\n")).unwrap();
            tool
        };
        let output = harmless(with_helper, &["backup"]);
        assert_ne!(output.status, Some(0), "{output:?}");
    }
}

/// A document on stdout has exactly the text of a server, escaped.
#[test]
fn json_errors_keep_one_line() {
    let place = Place::directory();
    let vault = FaultServer::proxy(&place.site.vault.address(), |call| match call.path == SNAPSHOT {
        true => Reply::json(403, &json!({ "errors": [HOSTILE] })),
        false => Reply::forward(),
    });
    let output = harmless(|| place.tool().env("VAULT_ADDR", vault.address()), &["backup", "--json"]);
    let error: Value = output.code(3).json();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("FORGED line") && !message.contains(['\n', '\u{1b}']), "{message}");
}
