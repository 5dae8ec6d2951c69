use super::*;

fn server(text: &str) -> ServerVersion {
    let (product, version) = text.split_once(' ').unwrap();
    ServerVersion::new(Product::parse(product), Some(version))
}

fn fits(source: &str, target: &str) -> Compatibility {
    compare(&server(source), &server(target))
}

#[test]
fn versions_of_both_products_are_read_and_ordered() {
    let ordered = [
        "0.11.6",
        "1.9.10",
        "1.15.0-rc1",
        "1.15.0",
        "1.21.4+ent",
        "2.6.0-beta20260622",
        "v2.6.0",
        "2.6.1",
        "2.10.0",
        "10.0.0-rc1+ent.hsm",
    ];
    let versions: Vec<_> = ordered.iter().map(|text| VersionNumber::parse(text).unwrap()).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    for same in ["1.21.4", "1.21.4+ent", "1.21.4+ent.hsm", "1.21.4+ent.hsm.fips1402", " v1.21.4\n"] {
        assert_eq!(VersionNumber::parse(same), VersionNumber::parse("1.21.4"), "{same}");
    }
    for bad in ["", " ", "v", "1", "1.21", "1.21.4.1", "1..4", "+1.2.3", "1.+2.3", "-1.2.3", "a.b.c", "1.2.99999999999"]
    {
        assert_eq!(VersionNumber::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_restore_into_the_same_product_is_refused_only_for_an_older_minor_version() {
    for (source, target, expected) in [
        ("openbao 2.7.2", "openbao 2.7.2", Compatibility::Same),
        ("openbao 2.6.1", "openbao 2.7.2", Compatibility::Same),
        ("openbao 2.6.0-beta20260622", "openbao 2.6.0", Compatibility::Same),
        ("openbao 2.7.2", "openbao 2.7.1", Compatibility::OlderPatch),
        ("openbao 2.7.0", "openbao 2.7.0-beta1", Compatibility::OlderPatch),
        ("openbao 2.7.2", "openbao 2.6.1", Compatibility::OlderTarget),
        ("openbao 2.10.0", "openbao 2.9.9", Compatibility::OlderTarget),
        ("vault 1.21.4+ent", "vault 1.21.4", Compatibility::Same),
        ("vault 2.0.0", "vault 1.21.4", Compatibility::OlderTarget),
        ("vault 1.21.4", "vault 2.0.0", Compatibility::Same),
        ("vault 1.21.4", "vault ", Compatibility::Unknown),
        ("openbao ", "openbao 2.7.2", Compatibility::Unknown),
        ("openbao nonsense", "openbao 2.7.2", Compatibility::Unknown),
    ] {
        assert_eq!(fits(source, target), expected, "{source} -> {target}");
    }
}

#[test]
fn openbao_into_vault_is_refused_and_vault_into_openbao_is_a_migration() {
    for (source, target, expected) in [
        ("openbao 2.7.2", "vault 1.21.4", Compatibility::OtherProduct),
        ("openbao 2.0.0", "vault 2.7.0", Compatibility::OtherProduct),
        ("openbao ", "vault ", Compatibility::OtherProduct),
        ("vault 1.21.4", "openbao 2.6.1", Compatibility::Migration),
        ("vault ", "openbao ", Compatibility::Migration),
    ] {
        assert_eq!(fits(source, target), expected, "{source} -> {target}");
    }
}

#[test]
fn a_2_x_version_without_a_recorded_product_leaves_the_product_unknown() {
    for (version, expected) in [
        ("2.7.2", None),
        ("2.0.0", None),
        ("", None),
        ("1.21.4", Some(Product::Vault)),
        ("0.11.6", Some(Product::Vault)),
    ] {
        assert_eq!(ServerVersion::new(None, Some(version)).product, expected, "{version}");
    }
    assert_eq!(ServerVersion::new(Some(Product::OpenBao), Some("1.0.0")).product, Some(Product::OpenBao));
}

#[test]
fn an_unknown_product_is_refused_only_if_both_products_would_be() {
    for (source, target, expected) in [
        // Only Vault has a 1.x.
        ("? 1.21.4", "openbao 2.7.2", Compatibility::Migration),
        ("? 1.21.4", "? 1.20.0", Compatibility::OlderTarget),
        // Both products have a 2.x.
        ("? 2.7.2", "vault 1.21.4", Compatibility::OtherProduct),
        ("? 2.7.2", "vault 2.7.2", Compatibility::Unknown),
        ("? 2.7.2", "openbao 2.7.2", Compatibility::Unknown),
        ("? 2.7.2", "openbao 2.6.1", Compatibility::Unknown),
        ("openbao 2.7.2", "? 1.21.4", Compatibility::OtherProduct),
        ("openbao 2.7.2", "? 2.6.1", Compatibility::OtherProduct),
        ("? ", "? ", Compatibility::Unknown),
        ("? ", "vault 1.21.4", Compatibility::Unknown),
    ] {
        assert_eq!(fits(source, target), expected, "{source} -> {target}");
    }
}

#[test]
fn an_unusual_but_allowed_restore_gets_a_note_that_names_both_servers() {
    let note = |source: &str, target: &str| fits(source, target).note(&server(source), &server(target));
    assert_eq!(note("vault 1.21.4", "vault 1.21.4"), None);
    assert_eq!(
        note("vault 1.21.4", "openbao 2.7.2").unwrap(),
        "migration: the backup was taken from Vault 1.21.4, the target is OpenBao 2.7.2"
    );
    assert_eq!(
        note("? 2.7.2", "openbao ").unwrap(),
        "product or version unknown, not compared: the backup was taken from an unknown product, version 2.7.2, \
         the target is OpenBao (unknown version)"
    );
    let none = ServerVersion::default();
    assert!(Compatibility::Unknown.note(&none, &none).unwrap().contains("an unknown product and version"));
}

#[test]
fn a_running_server_is_recognised_by_its_unauthenticated_answers() {
    for (enterprise, commit_date, version, expected) in [
        (true, false, "1.21.4", Some(Product::Vault)),
        (true, false, "2.0.1+ent", Some(Product::Vault)),
        (true, false, "", Some(Product::Vault)),
        (false, false, "1.16.3", Some(Product::Vault)),
        (false, false, "0.11.6", Some(Product::Vault)),
        (false, false, "2.0.0", Some(Product::OpenBao)),
        (false, false, "2.5.5", Some(Product::OpenBao)),
        (false, true, "2.7.2", Some(Product::OpenBao)),
        (false, true, "", Some(Product::OpenBao)),
        (false, false, "", None),
        (true, true, "2.7.2", None),
    ] {
        assert_eq!(detect(enterprise, commit_date, Some(version)), expected, "{enterprise} {commit_date} {version}");
    }
    assert_eq!(detect(false, false, None), None);
}

#[test]
fn the_version_line_of_a_binary_names_product_and_version() {
    for (line, expected) in [
        (
            "OpenBao v2.7.2 (9e0a0d3c3504a0a00b45e61355afac5e35c78379), committed 2026-10-26T20:32:27Z\n",
            "openbao 2.7.2",
        ),
        ("OpenBao v2.0.0 (a2522eb), built 2024-07-15T15:10:54Z", "openbao 2.0.0"),
        ("Vault v1.21.4, built 2025-11-25T08:47:00Z\nmore\n", "vault 1.21.4"),
        ("Vault v1.21.4+ent.hsm ('6b2d6f0c' ), built 2025-11-25T08:47:00Z", "vault 1.21.4+ent.hsm"),
        ("Vault v1.15.0-rc1 (x) (cgo)", "vault 1.15.0-rc1"),
    ] {
        assert_eq!(of_binary(line).unwrap(), server(expected), "{line}");
    }
    for other in ["", "Consul v1.2.3", "Vault", "Vault 1.21.4", "Vault vNEXT", "bash: vault: not found"] {
        assert_eq!(of_binary(other), None, "{other}");
    }
}
