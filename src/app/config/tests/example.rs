//! examples/config.toml shows every key, with the real default.

use super::*;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor, value::Error as Seen};

const EXAMPLE: &str = include_str!("../../../../examples/config.toml");

/// Returns the example with those keys uncommented that `keep` selects.
fn uncommented(keep: impl Fn(&str) -> bool) -> String {
    let word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let lines = EXAMPLE.lines().filter(|line| {
        let key = line.trim_start_matches(['#', ' ']).split_once(" = ").is_some_and(|(key, _)| word(key));
        line.starts_with('[') || ((key || *line == "# [[notify]]") && keep(line))
    });
    lines.map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_shows_the_real_defaults() {
    const ON: &str = "#on = [\"success\", \"failure\"] ";
    assert!(EXAMPLE.lines().any(|line| line.starts_with(ON)));
    let notify = resolve("[[notify]]\ntype = 'slack'\nurl = 'env:U'").unwrap().notify.notify.remove(0);
    assert!(notify.on_success && notify.on_failure);

    let text = uncommented(|line| !line.starts_with("# ") && !line.starts_with(ON));
    assert_eq!(text.lines().filter(|line| line.contains(" = ")).count(), 18, "{text}");
    let mut shown = resolve(&text).unwrap();
    assert!(std::mem::take(&mut shown.staging.configured), "the section is there");
    assert_eq!(format!("{shown:#?}"), format!("{:#?}", resolve("").unwrap()));
}

#[test]
fn the_values_of_the_example_are_valid() {
    let mut all: toml::Table = uncommented(|_| true).parse().unwrap();
    for section in ["vault", "staging"] {
        let auth = all[section].as_table_mut().unwrap().remove("auth").unwrap();
        file::AuthKeys::deserialize(auth).unwrap();
    }
    resolve(&all.to_string()).unwrap();
}

#[test]
fn the_example_shows_every_key() {
    let all: toml::Table = uncommented(|_| true).parse().unwrap();
    let shown = |path: &str| -> BTreeSet<String> {
        let mut value = &toml::Value::Table(all.clone());
        for key in path.split('.').filter(|key| !key.is_empty()) {
            value = &value[key];
        }
        let table = value.as_array().map_or(value, |list| &list[0]);
        table.as_table().unwrap().keys().cloned().collect()
    };
    for (path, known) in [
        ("", keys::<file::File>()),
        ("vault", keys::<file::Vault>()),
        ("vault.auth", keys::<file::AuthKeys>()),
        ("store", keys::<file::Store>()),
        ("encryption", keys::<EncryptionSection>()),
        ("retention", keys::<file::Retention>()),
        ("staging", keys::<StagingSection>()),
        ("staging.auth", keys::<file::AuthKeys>()),
        ("audit", keys::<file::Audit>()),
        ("notify", keys::<file::Notify>()),
        ("ping", keys::<file::Ping>()),
        ("metrics", keys::<file::Metrics>()),
        ("run", keys::<file::Run>()),
    ] {
        assert!(!known.is_empty());
        assert_eq!(shown(path), known.iter().map(|&key| key.to_owned()).collect(), "[{path}]");
    }
}

/// Returns the keys of a section: the fields that its `Deserialize` requests.
fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    assert!(T::deserialize(Fields(&mut fields)).is_err());
    fields
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Seen;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen::custom("not a section"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Seen> {
        *self.0 = fields;
        Err(Seen::custom("seen"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
