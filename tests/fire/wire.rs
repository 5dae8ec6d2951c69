//! A TCP proxy that spoils bytes, whatever they mean.

use super::plan::Wire;
use crate::support::http::spawn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy; it is gone when this is dropped.
pub struct WireProxy {
    pub address: String,
    spoiler: Arc<Spoiler>,
    task: JoinHandle<()>,
}

struct Spoiler {
    wire: Wire,
    /// Bytes before the cut.
    left: AtomicUsize,
    has_cut: AtomicBool,
}

impl Drop for WireProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WireProxy {
    /// A proxy for `upstream`, `http://HOST:PORT`.
    pub fn start(upstream: &str, wire: Wire) -> Self {
        let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let left = match wire {
            Wire::CutRequests(at) | Wire::CutAnswers(at) => at,
            Wire::Dribble => usize::MAX,
        };
        let spoiler = Arc::new(Spoiler { wire, left: left.into(), has_cut: (wire == Wire::Dribble).into() });
        let shared = spoiler.clone();
        let task = spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, shared.clone()));
            }
        });
        Self { address, spoiler, task }
    }

    /// Returns `true` once the fault has happened.
    pub fn was_hit(&self) -> bool {
        self.spoiler.has_cut.load(Ordering::Relaxed)
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, spoiler: Arc<Spoiler>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Both end, and so both connections, when one breaks.
    tokio::select! {
        () = copy(&mut from_client, &mut to_server, &spoiler, matches!(spoiler.wire, Wire::CutRequests(_))) => {}
        () = copy(&mut from_server, &mut to_client, &spoiler, matches!(spoiler.wire, Wire::CutAnswers(_))) => {}
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    spoiler: &Spoiler,
    is_cut: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let size = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(size) => size,
        };
        let mut passed = size;
        if is_cut && !spoiler.has_cut.load(Ordering::Relaxed) {
            let left = spoiler.left.load(Ordering::Relaxed);
            passed = size.min(left);
            spoiler.left.store(left - passed, Ordering::Relaxed);
            spoiler.has_cut.store(passed < size, Ordering::Relaxed);
        }
        let piece = if spoiler.wire == Wire::Dribble { 1 } else { passed.max(1) };
        for bytes in buffer[..passed].chunks(piece) {
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
        if passed < size {
            return;
        }
    }
}
