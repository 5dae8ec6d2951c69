//! The servers that tests can run, and the one that this test run is about.

use std::path::PathBuf;
use vault_backup::formats::product::Product;

/// A server that `tests/servers/install.sh` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The released OpenBao: the default.
    OpenBao,
    /// The earlier release of OpenBao.
    OpenBaoOld,
    /// Vault's core.
    Vault,
}

impl Server {
    /// The server of this test run: `TEST_SERVER` is `openbao` (the default) or `vault`.
    ///
    /// # Panics
    /// For any other `TEST_SERVER`.
    pub fn of_this_run() -> Self {
        match std::env::var("TEST_SERVER").as_deref() {
            Err(_) | Ok("" | "openbao") => Self::OpenBao,
            Ok("vault") => Self::Vault,
            Ok(other) => panic!("TEST_SERVER={other}: it must be openbao or vault"),
        }
    }

    /// The product.
    pub fn product(self) -> Product {
        if self == Self::Vault { Product::Vault } else { Product::OpenBao }
    }

    /// The program. `VAULT_BIN` replaces the one of this test run.
    pub fn binary(self) -> PathBuf {
        expect_server();
        let given = std::env::var_os("VAULT_BIN").filter(|_| self == Self::of_this_run());
        given.map_or_else(|| crate::support::server_binary(self.name()), PathBuf::from)
    }

    fn name(self) -> &'static str {
        match self {
            Self::OpenBao => "bao",
            Self::OpenBaoOld => "bao-2.6.1",
            Self::Vault => "vault-server",
        }
    }
}

/// The product that this test run is about.
pub fn product() -> Product {
    Server::of_this_run().product()
}

/// The program of [`Server::of_this_run`].
pub fn binary() -> PathBuf {
    Server::of_this_run().binary()
}

/// Modules whose tests start no server. `.ci/run` runs them for one product only.
const SERVERLESS: &str = include_str!("../../serverless");

/// Asserts that the running test is not of a [`SERVERLESS`] module.
///
/// # Panics
/// If it is: the test would not run on every product.
pub fn expect_server() {
    // libtest names the thread of a test after the test.
    let thread = std::thread::current();
    let module = thread.name().and_then(|name| name.split_once("::")).map(|(module, _)| module);
    let listed = module.is_some_and(|module| SERVERLESS.lines().any(|line| line == module));
    assert!(!listed, "a test of {module:?} starts a server: remove the module from tests/serverless");
}
