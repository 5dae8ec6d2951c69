//! A scripted HTTP/1.1 server and proxy for faults that a real server cannot produce on
//! demand: truncated, lost, late and wrong answers.

mod connection;

use super::http::spawn;
use super::tls::Ca;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// Number of earlier calls.
    pub number: usize,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, empty if there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, if it is declared to be at most 1 MiB long; else empty.
    pub body: Bytes,
}

impl Call {
    /// A header's value, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        super::http::json(&self.body)
    }
}

/// The answer that a handler chooses for a call.
pub struct Reply {
    answer: Answer,
    fault: Option<(usize, Fault)>,
    delay: Duration,
}

enum Answer {
    Scripted(Response<Bytes>),
    Endless(Response<Bytes>, Duration),
    Forwarded,
    ForwardedWithout(&'static str),
    Twice,
    Lost,
    Never,
    Closed,
}

#[derive(Clone, Copy)]
enum Fault {
    Break,
    End,
    Stall,
    Flip,
}

impl Reply {
    /// Answers with `status`, and no body unless one is given.
    pub fn status(status: u16) -> Self {
        Self::of(Answer::Scripted(Response::builder().status(status).body(Bytes::new()).unwrap()))
    }

    /// Answers with `status` and a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::status(status).header(CONTENT_TYPE.as_str(), "application/json").body(body.to_string())
    }

    /// Passes the call to the upstream server, and its answer back, both streamed and unmodified.
    pub fn forward() -> Self {
        Self::of(Answer::Forwarded)
    }

    /// Passes the call on without `prefix`, which its path begins with.
    pub fn forward_without(prefix: &'static str) -> Self {
        Self::of(Answer::ForwardedWithout(prefix))
    }

    /// Lets the upstream server do what is asked, and closes the connection instead of telling.
    pub fn lose() -> Self {
        Self::of(Answer::Lost)
    }

    /// Passes the call, whose body must have a length of at most 1 MiB, to the upstream server
    /// twice, as a proxy that retries does, and the second answer back.
    pub fn twice() -> Self {
        Self::of(Answer::Twice)
    }

    /// Never answers, and keeps the connection.
    pub fn hang() -> Self {
        Self::of(Answer::Never)
    }

    /// Closes the connection at once.
    pub fn close() -> Self {
        Self::of(Answer::Closed)
    }

    fn of(answer: Answer) -> Self {
        Self { answer, fault: None, delay: Duration::ZERO }
    }

    fn script(mut self, change: impl FnOnce(&mut Response<Bytes>)) -> Self {
        match &mut self.answer {
            Answer::Scripted(response) => change(response),
            _ => panic!("only a scripted answer has headers and a body"),
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let (name, value) = (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self.script(|response| {
            response.headers_mut().append(name, value);
        })
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.script(|response| *response.body_mut() = body.into())
    }

    /// Sends the body again and again, without an end, each time after `pause`.
    #[must_use]
    pub fn endless(mut self, pause: Duration) -> Self {
        self.answer = match self.answer {
            Answer::Scripted(response) => Answer::Endless(response, pause),
            _ => panic!("only a scripted answer can be repeated"),
        };
        self
    }

    /// Breaks the connection after `bytes` of the answer's body.
    #[must_use]
    pub fn break_after(self, bytes: usize) -> Self {
        self.with(bytes, Fault::Break)
    }

    /// Ends the body cleanly after `bytes`, as if it were no longer: chunked, without a length.
    #[must_use]
    pub fn end_after(self, bytes: usize) -> Self {
        self.with(bytes, Fault::End)
    }

    /// Sends nothing more after `bytes` of the answer's body, and keeps the connection.
    #[must_use]
    pub fn stall_after(self, bytes: usize) -> Self {
        self.with(bytes, Fault::Stall)
    }

    /// Flips one bit of the body's byte at `offset`.
    #[must_use]
    pub fn flip(self, offset: usize) -> Self {
        self.with(offset, Fault::Flip)
    }

    /// Waits before it does anything with the call.
    #[must_use]
    pub fn late(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn with(mut self, at: usize, fault: Fault) -> Self {
        self.fault = Some((at, fault));
        self
    }
}

type Handler = dyn Fn(&Call) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    upstream: Option<SocketAddr>,
    calls: Mutex<Vec<Call>>,
    sent: Mutex<Vec<String>>,
}

impl Shared {
    /// Numbers and records `call`, and asks the handler about it.
    fn ask(&self, mut call: Call) -> Reply {
        let mut calls = self.calls.lock().unwrap();
        call.number = calls.len();
        calls.push(call.clone());
        drop(calls); // the handler may take its time
        // It may also wait for a request of its own, which other workers must then serve.
        tokio::task::block_in_place(|| (self.handler)(&call))
    }
}

/// The server. It and its connections are gone when this is dropped.
pub struct FaultServer {
    address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FaultServer {
    /// Starts a server that answers as `handler` says.
    pub fn start(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(None, None, Box::new(handler))
    }

    /// Starts a server that speaks TLS with a certificate of `ca`.
    pub fn start_tls(ca: &Ca, handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(None, Some(ca), Box::new(handler))
    }

    /// Starts a proxy for `upstream`, `http://HOST:PORT`, without TLS. The `Host` header is passed on as it is.
    pub fn proxy(upstream: &str, handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let address = upstream.strip_prefix("http://").expect("an http:// address").trim_end_matches('/');
        Self::run(Some(address.parse().unwrap()), None, Box::new(handler))
    }

    fn run(upstream: Option<SocketAddr>, ca: Option<&Ca>, handler: Box<Handler>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let scheme = if ca.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { handler, upstream, calls: Mutex::default(), sent: Mutex::default() });
        let acceptor = ca.map(Ca::acceptor);
        let task = spawn(connection::accept(listener, acceptor, shared.clone()));
        Self { address, shared, task }
    }

    /// The server's URL.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The hex SHA-256 of each whole body that the upstream server has sent.
    pub fn sent(&self) -> Vec<String> {
        self.shared.sent.lock().unwrap().clone()
    }
}
