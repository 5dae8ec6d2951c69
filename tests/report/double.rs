//! A web server that fails on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Action of the double on one connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads the request and responds with this status and header.
    Answer(&'static str),
    /// Reads the request and closes.
    Close,
    /// Reads the request, begins a response and closes.
    Truncate,
    /// Reads the request and never responds.
    Hang,
    /// Reads the request, begins a response and stalls.
    Stall,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    pub headers: Vec<String>,
    pub body: String,
}

/// The double. It stops when dropped.
pub struct Double {
    pub host: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Double {
    /// Performs one action per connection and repeats the last one.
    pub async fn start(acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut acts) = (received.clone(), VecDeque::from(acts.to_vec()));
        let task = tokio::spawn(async move {
            let mut hanging = Vec::new();
            loop {
                let mut stream = listener.accept().await.unwrap().0;
                let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
                let request = read(&mut stream).await;
                seen.lock().unwrap().push(request);
                match act.unwrap() {
                    Act::Answer(head) => {
                        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Act::Close => {}
                    Act::Truncate => stream.write_all(b"HTTP/1.1 200 OK\r\nConte").await.unwrap(),
                    Act::Hang => hanging.push(stream),
                    Act::Stall => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nConte").await.unwrap();
                        hanging.push(stream);
                    }
                }
            }
        });
        Self { host, received, task }
    }

    /// Returns the requests in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).await.unwrap() > 0, "the head ends early");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|h| h.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).await.unwrap();
    let line = head.remove(0);
    Received { line, headers: head, body: String::from_utf8(body).unwrap() }
}
