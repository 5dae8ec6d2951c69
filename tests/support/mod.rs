//! Helpers of the integration tests: real servers as child processes, and the built binary
//! as a user runs it.
//!
//! Everything here panics on failure, with the server's log, and everything
//! that was started is gone when its value is dropped, also while panicking.
//! Nothing here is skipped: a server that is not there fails the test.

pub mod balancer;
pub mod bounded;
pub mod cluster;
pub mod fault;
pub mod http;
pub mod ldap;
pub mod place;
pub mod process;
pub mod production;
pub mod proxy;
pub mod python;
pub mod s3;
pub mod site;
#[allow(dead_code, reason = "the unit tests of `archive` use the rest")]
pub mod snapshot;
pub mod tls;
pub mod tool;
pub mod vault;
#[allow(dead_code, reason = "the unit tests of `crypto` use the rest")]
pub mod vectors;

pub use tool::tool;

use std::path::PathBuf;

/// The binary `name` that `tests/servers/install.sh` puts into `target/servers`.
///
/// # Panics
/// If it isn't there: a test that needs it must not pass without it.
pub fn server_binary(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/servers").join(name);
    assert!(path.is_file(), "no {}: run tests/servers/install.sh, which builds the test servers", path.display());
    path
}
