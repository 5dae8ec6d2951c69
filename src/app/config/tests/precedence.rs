//! Flags override the environment, which overrides the file. Missing values are reported on use.

use super::*;
use crate::base::secret::TextOrReference;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const FILE: &str = "
    [vault]
    addresses = ['https://file:8200']
    namespace = 'file'
    ca_cert = '/file'
    [vault.auth]
    token = 'file:/token'
    [store]
    url = 's3://file'
    [encryption]
    key = '/key'
    old_keys = ['env:OLD']
    [staging]
    address = 'https://staging:8200'
    [run]
    deadline = '1h'
";

fn with(text: &str, overrides: &Overrides, variables: &[(&str, &str)]) -> Result<Config> {
    let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    Config::resolve(explain::parse(Path::new("c.toml"), text)?, overrides, &lookup)
}

fn token(config: &Config) -> Option<Reference> {
    match config.vault.auth.clone()? {
        Auth::Token { token: TextOrReference::Reference(token) } => Some(token),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_file_is_read() {
    let config = resolve(FILE).unwrap();
    assert_eq!(config.vault().unwrap().settings.addresses[0].as_str(), "https://file:8200/");
    assert_eq!(token(&config), Some(Reference::File("/token".into())));
    assert_eq!(config.store().unwrap().location.to_string(), "s3://file");
    assert_eq!(config.encryption.key, Some(Reference::File("/key".into())));
    assert_eq!(config.run.deadline, Some(Duration::from_hours(1)));
}

#[test]
fn the_environment_overrides_the_file() {
    let config = with(
        FILE,
        &Overrides::default(),
        &[
            ("VAULT_ADDR", "http://env:8200"),
            ("VAULT_TOKEN", "planted"),
            ("VAULT_NAMESPACE", "env"),
            ("VAULT_CACERT", "/env"),
            ("VAULT_CLIENT_CERT", "/cert"),
            ("VAULT_CLIENT_KEY", "/client-key"),
            ("VAULT_SKIP_VERIFY", "1"),
            ("VAULT_TLS_SERVER_NAME", "name"),
            ("VAULT_BACKUP_STORE", "file:///env"),
            ("VAULT_BACKUP_KEY", "planted"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ],
    )
    .unwrap();
    let vault = &config.vault().unwrap().settings;
    assert_eq!(vault.addresses.iter().map(url::Url::as_str).collect::<Vec<_>>(), ["http://env:8200/"]);
    assert_eq!(vault.namespace.as_deref(), Some("env"));
    assert_eq!(vault.tls.ca_cert.as_deref(), Some(Path::new("/env")));
    assert_eq!(vault.tls.client_cert.as_deref(), Some(Path::new("/cert")));
    assert_eq!(vault.tls.client_key.as_deref(), Some(Path::new("/client-key")));
    assert!(vault.tls.skip_verify);
    assert_eq!(vault.tls.server_name.as_deref(), Some("name"));
    assert_eq!(token(&config), Some(Reference::Env("VAULT_TOKEN".into())));
    assert_eq!(config.store().unwrap().location.to_string(), "file:///env");
    assert_eq!(config.encryption.key, Some(Reference::Env("VAULT_BACKUP_KEY".into())));
    assert_eq!(config.encryption.old_keys, [Reference::Env("OLD".into())]);
    assert_eq!(config.run.lock_file, Path::new("/run/user/7/vault-backup-dab06648.lock"));
    assert_eq!(config.staging.address().unwrap().as_str(), "https://staging:8200/", "no variable applies to staging");
    assert!(config.staging.login().is_err(), "nor a token of the environment");
    assert!(!format!("{config:?}").contains("planted"), "secrets are not read");
}

#[test]
fn flags_override_the_environment() {
    let overrides = Overrides {
        config: None,
        store: Some("s3://flag/p".into()),
        deadline: Some(Duration::from_secs(5)),
        key: Some(Reference::File("/flag".into())),
    };
    let config =
        with(FILE, &overrides, &[("VAULT_BACKUP_STORE", "file:///env"), ("VAULT_BACKUP_KEY", "planted")]).unwrap();
    assert_eq!(config.store().unwrap().location.to_string(), "s3://flag/p");
    assert_eq!(config.encryption.key, Some(Reference::File("/flag".into())));
    assert_eq!(config.run.deadline, Some(Duration::from_secs(5)));
}

#[test]
fn malformed_flags_and_variables_are_named() {
    for (name, value, expected) in [
        ("VAULT_ADDR", "planted:8200", "VAULT_ADDR: must be an address such as"),
        ("VAULT_ADDR", "https://u:planted@v", "VAULT_ADDR: must be an address without user and password"),
        ("VAULT_SKIP_VERIFY", "planted", "VAULT_SKIP_VERIFY: must be true or false"),
        ("VAULT_BACKUP_STORE", "planted", "VAULT_BACKUP_STORE: must be s3://BUCKET,"),
        ("VAULT_CLIENT_CERT", "/cert", "vault.client_cert (VAULT_CLIENT_CERT) and vault.client_key (VAULT_CLIENT_KEY)"),
    ] {
        let e = with("", &Overrides::default(), &[(name, value)]).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.to_string().starts_with(expected) && !e.to_string().contains("planted"), "{e}");
    }
    for (store, expected) in [
        ("s3://u:planted@b", "--store: must be a URL without user and password"),
        ("/tmp/x", "--store: must be s3://BUCKET, s3://BUCKET/PREFIX or file:///DIRECTORY; did you mean file:///tmp/x"),
    ] {
        let overrides = Overrides { store: Some(store.into()), ..Overrides::default() };
        let e = with("", &overrides, &[]).unwrap_err().to_string();
        assert!(e.starts_with(expected) && !e.contains("planted"), "{e}");
    }
}

#[test]
fn the_token_of_vault_login_is_the_last_resort() {
    let home = tempfile::tempdir().unwrap();
    let variables = [("HOME", home.path().to_str().unwrap())];
    assert_eq!(token(&with("", &Overrides::default(), &variables).unwrap()), None);
    let path = home.path().join(".vault-token");
    std::fs::write(&path, "planted").unwrap();
    assert_eq!(token(&with("", &Overrides::default(), &variables).unwrap()), Some(Reference::File(path)));
    assert_eq!(token(&with(FILE, &Overrides::default(), &variables).unwrap()), Some(Reference::File("/token".into())));
    let text = "[vault.auth]\nmethod = 'approle'\nrole_id = 'r'\nsecret_id = 'env:S'";
    let config = with(text, &Overrides::default(), &[("VAULT_TOKEN", "planted"), variables[0]]).unwrap();
    assert!(
        matches!(config.vault.auth, Some(Auth::AppRole { .. })),
        "other methods take no token from the environment"
    );
}

#[test]
fn a_missing_value_is_reported_on_use() {
    let config = resolve("").unwrap();
    let said = |e: Error| {
        assert_eq!(e.kind(), Kind::Usage);
        e.to_string()
    };
    assert_eq!(
        said(config.vault().unwrap_err()),
        "no Vault configured; set vault.addresses, or VAULT_ADDR or BAO_ADDR"
    );
    assert_eq!(said(config.store().unwrap_err()), "no store configured; set store.url, VAULT_BACKUP_STORE or --store");
    assert!(said(config.keys().unwrap_err()).starts_with("no backup key configured; set encryption.key"));
    assert!(config.encryption.read_manifest_key().unwrap().is_none());
    assert!(said(config.staging.address().unwrap_err()).contains("--ephemeral"));
    assert!(said(config.staging.login().unwrap_err()).contains("staging.auth.token"));
    let config = resolve("[vault]\naddresses = ['https://v']").unwrap();
    assert!(said(config.vault().unwrap_err()).starts_with("no Vault token; set VAULT_TOKEN"));
    let config = resolve("[vault]\naddresses = ['https://v']\nauth.method = 'cert'").unwrap();
    assert!(said(config.vault().unwrap_err()).contains("vault.client_cert"));
}

#[test]
fn some_defaults_depend_on_other_keys() {
    let retention = resolve("[retention]\ndaily_days = 7\nmonthly_months = 3").unwrap().retention;
    assert_eq!((retention.keep_daily, retention.keep_monthly), (7, 3));
    let store =
        |more: &str| resolve(&format!("[store]\nurl = 's3://b'\n{more}")).unwrap().store().unwrap().s3.path_style;
    assert!(!store("") && store("endpoint = 'http://[::1]:9000'"));
    assert!(!store("endpoint = 'http://[::1]:9000'\npath_style = false"));
    let config = resolve("[vault.auth]\nmethod = 'kubernetes'\nrole = 'r'\nmount = '/k8s/'").unwrap();
    let Some(Auth::Kubernetes { mount, jwt: TextOrReference::Reference(jwt), .. }) = config.vault.auth else {
        panic!()
    };
    assert_eq!(mount, "k8s");
    assert_eq!(jwt.to_string(), "file:/var/run/secrets/kubernetes.io/serviceaccount/token");
}

#[test]
fn a_named_file_must_be_readable() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| {
        let overrides = Overrides { config: Some(path.to_owned()), ..Overrides::default() };
        Config::load(&overrides, &|_| None)
    };
    let path = dir.path().join("c.toml");
    let e = load(&path).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().ends_with("c.toml: there is no such file"), "{e}");
    assert!(load(dir.path()).unwrap_err().to_string().contains("cannot be read: it is a directory"));
    std::fs::write(&path, b"[vault]\n# \xff\n").unwrap();
    assert!(load(&path).unwrap_err().to_string().ends_with("c.toml:2: not UTF-8"));
    std::fs::write(&path, "[audit]\nfile = '/a'\n").unwrap();
    let config = load(&path).unwrap();
    assert_eq!((config.file.as_deref(), config.audit), (Some(path.as_path()), Some("/a".into())));

    let variable = |name: &str| (name == "VAULT_BACKUP_CONFIG").then(|| path.to_str().unwrap().to_owned());
    assert_eq!(Config::load(&Overrides::default(), &variable).unwrap().file.as_deref(), Some(path.as_path()));
    let overrides = Overrides { config: Some(path.clone()), ..Overrides::default() };
    let empty = Config::load(&overrides, &|name| (name == "VAULT_ADDR").then(String::new)).unwrap();
    assert!(empty.vault.settings.addresses.is_empty(), "an empty variable is not set");
    std::fs::remove_file(&path).unwrap();
    assert!(Config::load(&Overrides::default(), &variable).is_err());
}

#[test]
fn keys_are_read_on_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let config = resolve(&format!("[encryption]\nkey = '{0}'\nold_keys = ['file:{0}']", path.display())).unwrap();
    assert!(config.keys().unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&path, "first\n").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let keys = config.keys().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].1.expose(), "first");
    std::fs::write(&path, "second\n").unwrap();
    assert_eq!(config.keys().unwrap()[0].1.expose(), "second");
}

#[test]
fn each_store_has_its_own_lock_file() {
    let lock = |store: Option<&str>, file: &str| {
        let overrides = Overrides { store: store.map(str::to_owned), ..Overrides::default() };
        with(file, &overrides, &[]).unwrap().run.lock_file
    };
    assert_eq!(lock(None, ""), Path::new("/run/lock/vault-backup.lock"));
    let one = lock(Some("s3://backups/one"), "");
    assert_eq!(one, lock(Some("s3://backups/one/"), ""), "a slash at the end names the same store");
    assert_ne!(one, lock(Some("s3://backups/two"), ""));
    assert!(one.starts_with("/run/lock"), "{}", one.display());
    assert_eq!(lock(Some("s3://backups/one"), "[run]\nlock_file = '/l'"), Path::new("/l"));
}

#[test]
fn an_empty_variable_is_named_where_a_value_is_missing() {
    let config = |variables: &[(&str, &str)]| with("", &Overrides::default(), variables).unwrap();
    let empty = config(&[("VAULT_ADDR", ""), ("VAULT_BACKUP_STORE", ""), ("VAULT_BACKUP_KEY", "")]);
    for (error, expected) in [
        (empty.vault().unwrap_err(), "no Vault configured: VAULT_ADDR is set but empty"),
        (empty.store().unwrap_err(), "no store configured: VAULT_BACKUP_STORE is set but empty"),
        (empty.keys().unwrap_err(), "no backup key configured: VAULT_BACKUP_KEY is set but empty"),
        (empty.login().unwrap_err(), "no Vault token"),
    ] {
        assert_eq!(error.message(), expected);
    }
    let empty = config(&[("VAULT_ADDR", "https://v"), ("BAO_ADDR", ""), ("BAO_TOKEN", "")]);
    assert_eq!(empty.vault().unwrap_err().message(), "no Vault token: BAO_TOKEN is set but empty");
    let config = with(FILE, &Overrides::default(), &[("VAULT_ADDR", "")]).unwrap();
    assert_eq!(config.vault().unwrap().settings.addresses[0].as_str(), "https://file:8200/");
}
