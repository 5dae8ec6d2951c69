//! Errors about the configuration file name file, line, key and allowed values, never a value.

use super::*;

#[test]
fn an_unknown_key_suggests_the_nearest() {
    assert_eq!(
        refused("[retention]\ndaily_day = 3"),
        "c.toml:2: retention.daily_day: unknown key; did you mean daily_days? \
         allowed: daily_days, monthly_months, keep_daily, keep_monthly"
    );
    for (text, expected) in [
        ("[vualt]", "c.toml:1: vualt: unknown key; did you mean vault? allowed: vault, store,"),
        ("\n\nstaging.cannary = 'a'", "c.toml:3: staging.cannary: unknown key; did you mean canary?"),
        ("[vault]\nauth = { metod = 'x' }", "c.toml:2: vault.auth.metod: unknown key; did you mean method?"),
        ("[[notify]]\nurl = 'env:A'\ntype = 'slack'\nonn = []", "c.toml:4: notify.onn: unknown key; did you mean on?"),
        ("[audit]\nzzz = 1", "c.toml:2: audit.zzz: unknown key; allowed: file"),
        ("[vault.auth.x]\ny = 1", "c.toml:1: vault.auth.x: unknown key; allowed: method,"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn an_invalid_value_names_the_allowed_ones() {
    for (text, expected) in [
        ("[vault]\naddresses = 'https://v'", "2: vault.addresses: must be a list in brackets"),
        ("[vault]\naddresses = ['v:8200']", "2: vault.addresses: must be an address such as https://vault."),
        ("[vault]\nnamespace = 1979-05-27", "2: vault.namespace: must be text in quotes"),
        ("[vault]\nauth = true", "2: vault.auth: must be a section"),
        (
            "[vault.auth]\nmethod = 'radius'",
            "2: vault.auth.method: unknown value; allowed: token, none, approle, kubernetes,",
        ),
        ("[vault.auth]\nmethod = 5", "2: vault.auth.method: must be text in quotes"),
        ("[store]\n\nsse = 'aws'", "3: store.sse: unknown value; did you mean aws:kms? allowed: AES256, aws:kms"),
        (
            "[store]\nurl = '/tmp/x'",
            "2: store.url: must be s3://BUCKET, s3://BUCKET/PREFIX or file:///DIRECTORY; did you mean file:///tmp/x",
        ),
        ("[store]\nurl = 's3://b/../c'", "2: store.url: must be a URL without an empty segment, . or .. in its path"),
        (
            "[encryption]\nold_keys = [\n'/k',\n'env:']",
            "4: encryption.old_keys: must be a path, env:NAME, file:PATH or credential:NAME",
        ),
        (
            "[encryption]\nold_keys = [\n'/k',\n{ key = '/k', until = '2026-6-1' }]",
            "4: encryption.old_keys.until: must be a date such as \"2026-06-01\"; the day begins at 00:00 UTC",
        ),
        (
            "[encryption]\nold_keys = [{ key = '/k', until = 5 }]",
            "2: encryption.old_keys.until: must be text in quotes",
        ),
        ("[encryption]\nold_keys = [{ key = 'env:' }]", "2: encryption.old_keys.key: must be a path, env:NAME,"),
        ("[encryption]\nold_keys = [{ until = '2026-06-01' }]", "2: encryption.old_keys: needs the key key"),
        ("[encryption]\nold_keys = [{ kye = '/k' }]", "2: encryption.old_keys.kye: unknown key; allowed: key, until"),
        ("[encryption]\nold_keys = [5]", "2: encryption.old_keys: must be a reference to a key, or {"),
        ("[vault]\naddresses = [\n'https://v',\n'v']", "4: vault.addresses: must be an address such as"),
        ("[store]\nkms_key_id = 'k'", "1: store: the key kms_key_id needs sse = \"aws:kms\""),
        ("[retention]\ndaily_days = 0", "2: retention.daily_days: must be a whole number from 1 to 36500"),
        ("[retention]\nkeep_daily = 1.5", "2: retention.keep_daily: must be a whole number"),
        ("[staging]\nseal_after = 'yes'", "2: staging.seal_after: must be true or false"),
        ("[staging]\nwait = 300", "2: staging.wait: must be text in quotes"),
        ("[staging]\nwait = '5 min'", "2: staging.wait: must be a duration above zero such as 90s, 10m, 26h or 8d"),
        ("[audit]\nfile = ''", "2: audit.file: must be a path"),
        ("[notify]\ntype = 'slack'", "1: notify: must be sections of the form [[notify]]"),
        ("[[notify]]\ntype = 'slack'", "1: notify: needs the key url"),
        (
            "[[notify]]\ntype = 'slack'\nurl = 'env:U'\non = ['succes']",
            "4: notify.on: unknown value; did you mean success?",
        ),
        ("[run]\nretries = 11", "2: run.retries: must be a whole number from 0 to 10"),
        ("[run]\npart_size = '1MiB'", "2: run.part_size: must be a size from 5MiB to 5GiB, such as 8MiB"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(&format!("c.toml:{expected}")), "{message}");
    }
}

#[test]
fn a_login_method_names_missing_and_unknown_keys() {
    for (text, expected) in [
        ("method = 'approle'", "the method approle needs the key role_id"),
        ("method = 'kubernetes'", "the method kubernetes needs the key role"),
        ("method = 'userpass'\nusername = 'u'", "the method userpass needs the key password"),
        ("method = 'ldap'\nusername = 'u'", "the method ldap needs the key password"),
        ("method = 'jwt'", "the method jwt needs the key jwt"),
        (
            "method = 'jwt'\njwt = 'env:J'\nregion = 'eu-west-1'",
            "the method jwt has no key region; remove the key, or choose another method",
        ),
        ("role_id = 'r'", "the method token has no key role_id; remove the key, or choose another method"),
        ("method = 'aws'\njwt = 'env:J'", "the method aws has no key jwt; remove the key, or choose another method"),
    ] {
        for section in ["vault.auth", "staging.auth"] {
            assert_eq!(refused(&format!("\n[{section}]\n{text}")), format!("c.toml:2: {section}: {expected}"));
        }
    }
}

#[test]
fn invalid_toml_is_refused_with_its_line() {
    for (text, expected) in [
        ("[vault]\n\n[audit", "c.toml:3: not TOML: unclosed table"),
        ("[audit]\nfile = 'a'\nfile = 'b'", "c.toml:3: not TOML: duplicate key"),
        ("file", "c.toml:1: not TOML: key with no value"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(expected), "{message}");
    }
}

/// Secrets in wrong places, and in files that are not even TOML.
#[test]
fn an_error_never_repeats_a_value() {
    let key = "0123456789abcdef".repeat(4);
    for text in [
        "[vault.auth]\ntoken = 'hvs.planted'",
        "[vault.auth]\ntoken = hvs.planted",
        "[vault.auth]\ntoken = 'a' 'planted'",
        "[vault.auth]\ntoken = 'planted",
        "[vault.auth]\ntoken: planted",
        "[vault.auth]\ntoken = { file = 'planted' }",
        "[vault.auth]\nmethod = 'planted'",
        "[vault]\nauth = 'planted'",
        "[vault]\naddresses = ['https://user:planted@vault']",
        "[staging]\nunseal_keys = 'planted, expected planted'",
        "[staging]\nunseal_keys = ['env:A', 'planted']",
        "[staging]\nseal_after = 'planted'",
        "[store]\nurl = 's3://planted:planted@bucket'",
        "[store]\nsse = 'planted'",
        "[encryption]\nkey = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'",
        "[encryption]\nold_keys = ['/k', '0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF']",
        "[[notify]]\ntype = 'slack'\nurl = 'planted'",
        "[retention]\ndaily_days = 'planted'",
        "planted",
    ] {
        let message = refused(text).to_lowercase();
        assert!(!message.contains("planted") && !message.contains(&key), "{message}");
    }
}
