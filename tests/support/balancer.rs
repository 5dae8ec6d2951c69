//! A TCP load balancer: each connection stays at the node that it was given to.

use super::http::spawn;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The balancer; it and its connections are gone when this is dropped.
pub struct Balancer {
    /// Its URL.
    pub address: String,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Starts it in front of `nodes`, `http://HOST:PORT` each. Connections go to them in
    /// turn, to the first one first; those that do not answer are left out, as a
    /// balancer's health check would do.
    pub fn start(nodes: &[String]) -> Self {
        let nodes: Vec<SocketAddr> =
            nodes.iter().map(|url| url.strip_prefix("http://").unwrap().parse().unwrap()).collect();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new(); // dropped, so ended, with this task
            let mut turn = nodes.iter().cycle();
            while let Ok((mut client, _)) = listener.accept().await {
                for node in turn.by_ref().take(nodes.len()) {
                    if let Ok(mut server) = TcpStream::connect(node).await {
                        connections.spawn(async move { copy_bidirectional(&mut client, &mut server).await });
                        break;
                    }
                }
            }
        });
        Self { address, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
