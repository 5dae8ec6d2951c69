use super::*;

#[test]
fn a_deadline_is_a_duration_or_none_and_12_hours_by_default() {
    assert_eq!(deadline("2h"), Ok(Deadline(Some(Duration::from_hours(2)))));
    assert_eq!(deadline("none"), Ok(Deadline(None)));
    assert_eq!(Deadline::default(), Deadline(Some(Duration::from_hours(12))));
    for bad in ["0", "0s", "None", "", "-1h"] {
        assert!(deadline(bad).is_err(), "{bad}");
    }
}

#[test]
fn durations_are_a_whole_number_and_a_unit() {
    for (text, seconds) in [("90s", 90), ("10m", 600), ("26h", 93_600), ("8d", 691_200), ("36500d", 3_153_600_000)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for bad in ["", "0s", "10", "m", "10M", "+1m", "-1m", "1.5h", "1h30m", "10 m", "36501d", "99999999999999999999d"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn part_sizes_are_those_of_s3() {
    assert_eq!(part_size("5MiB"), Ok(5 << 20));
    assert_eq!(part_size("5GiB"), Ok(5 << 30));
    for bad in ["4MiB", "6GiB", "8MB", "8", "8388608", "+8MiB", "MiB", "99999999999999GiB"] {
        assert!(part_size(bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses_are_http_urls_without_credentials() {
    for good in ["http://127.0.0.1:8200", "https://vault.example.com", "https://[::1]:8200/"] {
        assert!(address(good).is_ok(), "{good}");
    }
    for bad in ["", "vault:8200", "unix:///run/v", "https://u:p@v", "https://v/?x", "https://v/#x", "https://"] {
        assert!(address(bad).is_err(), "{bad}");
    }
}

#[test]
fn object_locks_and_storage_classes() {
    let lock = ObjectLock { mode: LockMode::Governance, period: Duration::from_secs(365 * 86_400) };
    assert_eq!(object_lock("governance:365d"), Ok(lock));
    for bad in ["compliance", "30d", "Compliance:30d", "compliance:30", "legal:30d"] {
        assert!(object_lock(bad).is_err(), "{bad}");
    }
    assert!(storage_class("STANDARD_IA").is_ok() && storage_class("GLACIER_IR").is_ok());
    assert!(storage_class("DEEP_ARCHIVE").is_err());
}

#[test]
fn secrets_must_be_references() {
    assert_eq!(secret_ref("env:A"), Ok(Reference::Env("A".into())));
    assert!(secret_ref("hvs.literal").is_err());
    assert_eq!(key_reference("/etc/key"), Ok(Reference::File("/etc/key".into())));
    assert_eq!(key_reference("credential:key"), Ok(Reference::Credential("key".into())));
    for bad in ["", "env:", "credential:a/b", &"ab".repeat(32), &format!("{}\n", "AB".repeat(32))] {
        assert!(key_reference(bad).is_err(), "{bad}");
    }
}

#[test]
fn text_or_a_reference_is_kept_secret() {
    assert_eq!(text_or_reference("role"), Ok(TextOrReference::Text(Secret::new("role"))));
    assert_eq!(text_or_reference("env:R"), Ok(TextOrReference::Reference(Reference::Env("R".into()))));
    assert!(text_or_reference("env:").is_err() && text_or_reference("").is_err());
    let url = url_or_reference("https://hooks.example.com/planted").unwrap();
    assert!(!format!("{url:?}").contains("planted"));
    assert_eq!(url.read().unwrap().expose(), "https://hooks.example.com/planted");
    assert!(url_or_reference("hooks.example.com/x").is_err());
}
