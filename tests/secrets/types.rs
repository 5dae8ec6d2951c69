//! `Debug` of types that contain secrets.

use super::PLANTED;
use std::fmt::Debug;
use std::path::PathBuf;
use vault_backup::app::config::{Config, Overrides};
use vault_backup::base::error::Error;
use vault_backup::base::secret::{Secret, TextOrReference};
use vault_backup::formats::crypto::{Key, Keyring, keys};
use vault_backup::services::notify::NotifySettings;
use vault_backup::services::notify::webhook::{Webhook, WebhookFormat};
use vault_backup::services::vault::Auth;

fn assert_hidden(value: &impl Debug, secrets: &[&str]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn debug_of_settings_hides_secrets() {
    let secret = || TextOrReference::from(Secret::new(PLANTED[3]));
    let mount = || "m".to_owned();
    for auth in [
        Auth::Token { token: secret() },
        Auth::AppRole { mount: mount(), role_id: Secret::new("r").into(), secret_id: Some(secret()) },
        Auth::Kubernetes { mount: mount(), role: "r".into(), jwt: secret() },
        Auth::Userpass { mount: mount(), username: "u".into(), password: secret() },
    ] {
        assert_hidden(&auth, &PLANTED);
    }
    let url = || TextOrReference::Text(Secret::new(format!("https://x/{}", PLANTED[0])));
    let target = Webhook { format: WebhookFormat::Slack, url: url(), on_success: true, on_failure: true };
    assert_hidden(&NotifySettings { notify: vec![target], ping: Some(url()), ..NotifySettings::default() }, &PLANTED);
}

#[test]
fn debug_of_a_configuration_hides_literal_urls() {
    let dir = crate::support::process::temp_dir();
    let file = dir.path().join("config.toml");
    let text = format!(
        "[[notify]]\ntype = \"webhook\"\nurl = \"https://x/{}\"\n[ping]\nurl = \"https://x/{}\"\n",
        PLANTED[0], PLANTED[2]
    );
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides { config: Some(PathBuf::from(&file)), ..Overrides::default() };
    let config = Config::load(&overrides, &|_| None).unwrap();
    assert!(format!("{config:?}").contains("[secret]"));
    assert_hidden(&config, &PLANTED);
}

#[test]
fn debug_of_keys_hides_them() {
    let hex = Key::generate().unwrap().to_hex().expose().to_owned();
    let key = || Key::from_hex(&Secret::new(&hex)).unwrap();
    let (first, second) = (u8::from_str_radix(&hex[..2], 16).unwrap(), u8::from_str_radix(&hex[2..4], 16).unwrap());
    // Hex, bytes in decimal, bytes in hex.
    let bytes =
        [format!("{first}, {second}"), format!("{first:02x}, {second:02x}"), format!("{first:#x}, {second:#x}")];
    let forms = [&hex[..8], &bytes[0], &bytes[1], &bytes[2]];
    assert_hidden(&key(), &forms);
    assert_hidden(&key().mac_key(), &forms);
    assert_hidden(&Keyring::new(key(), vec![key()]), &forms);
    assert_hidden(&keys::manifest_key_from_hex(&Secret::new(&hex)).unwrap(), &forms);
}

#[test]
fn errors_do_not_repeat_an_invalid_key() {
    for wrong in [PLANTED[3].to_owned(), format!("{}zz", "8f".repeat(31))] {
        let error: Error = Key::from_hex(&Secret::new(&wrong)).unwrap_err();
        assert_hidden(&error, &[&wrong]);
        assert!(!error.to_string().contains(&wrong), "{error}");
    }
}

/// The task that waits for a thread reports its panic.
#[tokio::test]
async fn a_panic_in_a_thread_is_reported_without_its_message() {
    let end = tokio::task::spawn_blocking(|| panic!("{}", PLANTED[0])).await.unwrap_err();
    let error = Error::task_failed("a stage", &end);
    assert_eq!(error.to_string(), "a stage: internal error (this is a bug in vault-backup): a task panicked");
    assert_hidden(&error, &PLANTED);
}
