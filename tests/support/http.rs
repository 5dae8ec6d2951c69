//! HTTP for the harness itself, callable from plain tests and, without a
//! special context, from asynchronous ones.

use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use std::path::Path;
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Runs `future` on the harness's own runtime and blocks this thread until it is done.
///
/// Within an asynchronous test it blocks that test's worker; the harness goes on.
pub fn block_on<F>(future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    spawn(async move {
        // This fails only if the test has ended.
        let _ = sender.send(future.await);
    });
    receiver.recv().expect("a task of the harness panicked")
}

/// Lets `future` run on the harness's own runtime until it ends or is aborted.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    RUNTIME.spawn(future)
}

/// A client that trusts only `ca` (PEM), goes through no proxy and follows no
/// redirect; with `socket` it talks to that Unix socket whatever the URL says.
pub fn client(ca: Option<&str>, socket: Option<&Path>) -> Client {
    // Another test may have been first, with the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots: Vec<_> = ca.iter().map(|pem| Certificate::from_pem(pem.as_bytes()).unwrap()).collect();
    let builder = Client::builder()
        .tls_certs_only(roots)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(90));
    let builder = match socket {
        Some(path) => builder.unix_socket(path.to_owned()),
        None => builder,
    };
    builder.build().unwrap()
}

/// Sends one request; `None` if no whole answer came.
pub fn exchange(
    client: &Client,
    method: &str,
    url: &str,
    token: Option<&str>,
    body: Option<Vec<u8>>,
) -> Option<(u16, Vec<u8>)> {
    let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    if let Some(token) = token {
        request = request.header("X-Vault-Token", token);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    block_on(async move {
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.bytes().await.ok()?.to_vec()))
    })
}

/// `bytes` as JSON; `null` where they are none.
pub fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}
