use super::*;
use crate::base::error::Kind;
use std::collections::BTreeSet;

mod errors;
mod example;
mod precedence;

/// Resolves `text` as the configuration file, without flags and environment.
fn resolve(text: &str) -> Result<Config> {
    let file = explain::parse(Path::new("c.toml"), text)?;
    Config::resolve(file, &Overrides::default(), &|_| None)
}

/// Returns the error message for `text`.
fn refused(text: &str) -> String {
    let e = resolve(text).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    e.to_string()
}
