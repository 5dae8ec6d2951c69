//! The scripted server: each fault arrives as it was asked for.

use crate::support::fault::{FaultServer, Reply};
use crate::support::http::{block_on, client, exchange};
use crate::support::tls::Ca;
use serde_json::json;
use std::time::Duration;

const BODY: &str = "0123456789";

/// GETs `path`: the status, what came of the body, and whether it ended, or
/// stalled, without an error.
fn get(server: &FaultServer, path: &str) -> Option<(u16, String, bool)> {
    let request = client(None, None).get(format!("{}{path}", server.address()));
    let stalls = path == "/stall";
    block_on(async move {
        let mut response = request.send().await.ok()?;
        let mut body = Vec::new();
        let clean = loop {
            let chunk = response.chunk();
            let chunk = match stalls && body.len() == 4 {
                // However slow this machine is, nothing may come.
                true => tokio::time::timeout(Duration::from_millis(300), chunk).await.unwrap_or(Ok(None)),
                false => chunk.await,
            };
            match chunk {
                Ok(Some(chunk)) => body.extend(chunk),
                end => break end.is_ok(),
            }
        };
        Some((response.status().as_u16(), String::from_utf8(body).unwrap(), clean))
    })
}

fn faulty(path: &str, good: Reply) -> Reply {
    match path {
        "/break" => good.break_after(4),
        "/end" => good.end_after(4),
        "/stall" => good.stall_after(4),
        "/flip" => good.flip(4),
        "/close" => Reply::close(),
        "/lose" => Reply::lose(),
        "/hang" => Reply::hang(),
        _ => good,
    }
}

fn check_faults(server: &FaultServer) {
    let seen = |path| get(server, path);
    let part = |text: &str, clean| Some((200, text.to_owned(), clean));
    assert_eq!(seen("/"), part(BODY, true));
    assert_eq!(seen("/break"), part("0123", false));
    assert_eq!(seen("/end"), part("0123", true));
    assert_eq!(seen("/stall"), part("0123", true));
    assert_eq!(seen("/flip"), part("0123556789", true));
    assert_eq!(seen("/close"), None);
}

#[test]
fn scripted_answers_are_faulty() {
    let server = FaultServer::start(|call| faulty(&call.path, Reply::status(200).body(BODY)));
    check_faults(&server);
}

#[test]
fn forwarded_answers_are_faulty() {
    let upstream = FaultServer::start(|_| Reply::status(200).body(BODY));
    let proxy = FaultServer::proxy(upstream.address(), |call| faulty(&call.path, Reply::forward()));
    check_faults(&proxy);
    assert!(!upstream.calls().iter().any(|call| call.path == "/close"));
    assert_eq!(get(&proxy, "/lose"), None);
    assert_eq!(upstream.calls().last().unwrap().path, "/lose");
}

#[test]
fn proxy_forwards_unchanged() {
    let upstream = FaultServer::start(|call| Reply::status(201).header("x-seen", call.header("host")).body("made"));
    let proxy = FaultServer::proxy(upstream.address(), |_| Reply::forward());
    let big = "x".repeat(3_000_000);
    for body in ["", "small", &big] {
        let request = client(None, None).put(format!("{}/b/k%20?partNumber=1&x=a%2Fb", proxy.address()));
        let request = request.header("Host", "bucket.example").body(body.to_owned());
        let response = block_on(async move { request.send().await.unwrap() });
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-seen"]),
            (201, &"bucket.example".parse().unwrap())
        );
        let call = upstream.calls().pop().unwrap();
        assert_eq!(
            (call.method.as_str(), call.path.as_str(), call.query.as_str()),
            ("PUT", "/b/k%20", "partNumber=1&x=a%2Fb")
        );
        assert_eq!(call.headers, proxy.calls().pop().unwrap().headers);
        assert_eq!(call.body, if body.len() > 1_000_000 { "" } else { body });
    }
    let numbers: Vec<_> = proxy.calls().iter().map(|call| call.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn hanging_call_ends_with_the_server() {
    let server = FaultServer::start(|_| Reply::hang());
    let url = server.address().to_owned();
    let waiting = std::thread::spawn(move || exchange(&client(None, None), "GET", &url, None, None));
    crate::support::process::wait_for("the call", Duration::from_secs(60), || server.calls().pop());
    assert!(!waiting.is_finished());
    drop(server);
    assert!(waiting.join().unwrap().is_none());
}

#[test]
fn fault_server_supports_tls_and_json() {
    let ca = Ca::new();
    let server = FaultServer::start_tls(&ca, |call| Reply::json(307, &call.json()).header("Location", "http://x/"));
    let body = json!({"a": 1});
    let client = client(Some(ca.pem()), None);
    let answer = exchange(&client, "POST", server.address(), None, Some(body.to_string().into_bytes()));
    assert_eq!(answer, Some((307, body.to_string().into_bytes())));
}
