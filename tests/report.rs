//! Notifications, pings and metrics, with receivers that fail.

mod double;

use double::{Act, Double};
use serde_json::{Map, Value, json};
use std::time::Duration;
use vault_backup::base::error::{Error, Kind};
use vault_backup::base::secret::{Reference, Secret, TextOrReference};
use vault_backup::services::notify::delivery::RetrySettings;
use vault_backup::services::notify::metrics::Figures;
use vault_backup::services::notify::webhook::{Webhook, WebhookFormat};
use vault_backup::services::notify::{Event, EventSource, NotifySettings, Operation, send_all, started};

const OK: Act = Act::Answer("204 No Content");

fn url(host: &str) -> TextOrReference {
    TextOrReference::Text(Secret::new(format!("http://{host}/planted?planted=1")))
}

fn webhook(host: &str) -> Webhook {
    Webhook { format: WebhookFormat::Webhook, url: url(host), on_success: true, on_failure: true }
}

fn settings(notify: Vec<Webhook>) -> NotifySettings {
    let retry = RetrySettings {
        attempt: Duration::from_millis(300),
        total: Duration::from_secs(20),
        pause: Duration::from_millis(1),
    };
    NotifySettings { notify, retry, ..NotifySettings::default() }
}

fn source() -> EventSource {
    EventSource { host: "backup-1".to_owned(), cluster: Some("c-1".to_owned()), store: Some("s3://b/p".to_owned()) }
}

fn done() -> Event {
    let details = Map::from_iter([("backup_path".to_owned(), json!("daily/<x>.enc"))]);
    let at = "2025-11-26T02:00:00Z".parse().unwrap();
    Event::done(Operation::Backup, at, Duration::from_secs(1), "made <daily> & well", details, &[])
}

fn failed() -> Event {
    let at = "2025-11-26T02:00:00Z".parse().unwrap();
    Event::failed(Operation::Backup, at, Duration::from_secs(1), &Error::vault("sealed"), Map::new())
}

/// Returns the problems as text. Each is `Partial`, and none has the secret part of a URL.
async fn problems(settings: &NotifySettings, event: &Event) -> Vec<String> {
    let problems = send_all(settings, &source(), event, &Figures::default()).await;
    assert!(problems.iter().all(|e| e.kind() == Kind::Partial));
    let texts: Vec<_> = problems.iter().map(Error::to_string).collect();
    assert!(!format!("{texts:?} {problems:?}").contains("planted"), "{problems:?}");
    texts
}

#[tokio::test]
async fn a_webhook_gets_json_with_host_cluster_and_store() {
    let double = Double::start(&[OK]).await;
    assert!(problems(&settings(vec![webhook(&double.host)]), &done()).await.is_empty());
    let received = double.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line, "POST /planted?planted=1 HTTP/1.1");
    assert!(received[0].headers.iter().any(|h| h.eq_ignore_ascii_case("content-type: application/json")));
    let body: Value = serde_json::from_str(&received[0].body).unwrap();
    assert_eq!((&body["type"], &body["message"]), (&json!("vault_backup_success"), &json!(done().message)));
    let source = json!([body["host"], body["cluster"], body["store"]]);
    assert_eq!(source, json!(["backup-1", "c-1", "s3://b/p"]));
}

#[tokio::test]
async fn slack_gets_a_message_with_host_cluster_and_store() {
    let double = Double::start(&[OK]).await;
    let target = Webhook { format: WebhookFormat::Slack, ..webhook(&double.host) };
    assert!(problems(&settings(vec![target]), &done()).await.is_empty());
    assert_eq!(
        serde_json::from_str::<Value>(&double.received()[0].body).unwrap(),
        json!({
            "text": "backup-1: made &lt;daily&gt; &amp; well",
            "attachments": [{
                "color": "good",
                "title": "vault_backup_success",
                "fields": [
                    {"title": "host", "value": "backup-1", "short": true},
                    {"title": "cluster", "value": "c-1", "short": true},
                    {"title": "store", "value": "s3://b/p", "short": true},
                    {"title": "backup_path", "value": "daily/&lt;x&gt;.enc", "short": true},
                ],
                "ts": 1_764_122_400,
            }],
        })
    );
}

#[tokio::test]
async fn a_webhook_gets_only_the_outcomes_that_it_wants() {
    let double = Double::start(&[OK]).await;
    let quiet = |on_success, on_failure| Webhook { on_success, on_failure, ..webhook(&double.host) };
    let settings = settings(vec![quiet(true, false), quiet(false, true), quiet(false, false)]);
    let partial = Event::done(
        Operation::Backup,
        "2025-11-26T02:00:00Z".parse().unwrap(),
        Duration::ZERO,
        "m",
        Map::new(),
        &["copy".to_owned()],
    );
    for (event, expected) in [(done(), 1), (failed(), 1), (partial, 2)] {
        let before = double.received().len();
        assert!(problems(&settings, &event).await.is_empty());
        assert_eq!(double.received().len() - before, expected, "{:?}", event.outcome);
    }
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let acts = [Act::Close, Act::Answer("503 Unavailable"), Act::Answer("429 Too Many Requests"), OK];
    let double = Double::start(&acts).await;
    assert!(problems(&settings(vec![webhook(&double.host)]), &done()).await.is_empty());
    assert_eq!(double.received().len(), 4);
}

/// For webhooks, Slack and pings alike.
#[tokio::test]
async fn permanent_failures_are_reported_after_the_retries() {
    for (act, attempts, why) in [
        (Act::Answer("500 Internal Server Error"), 4, "HTTP 500"),
        (Act::Answer("404 Not Found"), 1, "HTTP 404"),
        (Act::Answer("302 Found\r\nLocation: /elsewhere"), 1, "HTTP 302 (redirects are not followed)"),
        (Act::Hang, 4, "response timeout"),
        (Act::Stall, 4, "response timeout"),
        (Act::Close, 4, ""),
        (Act::Truncate, 4, ""),
    ] {
        for receiver in ["webhook 1", "webhook 1 as Slack", "ping"] {
            let double = Double::start(std::slice::from_ref(&act)).await;
            let settings = match receiver {
                "webhook 1" => settings(vec![webhook(&double.host)]),
                "ping" => NotifySettings { ping: Some(url(&double.host)), ..settings(vec![]) },
                _ => settings(vec![Webhook { format: WebhookFormat::Slack, ..webhook(&double.host) }]),
            };
            let texts = problems(&settings, &done()).await;
            let name = receiver.trim_end_matches(" as Slack");
            let start = format!("{name} (host 127.0.0.1): notification failed: {why}");
            assert_eq!(texts.len(), 1, "{receiver}");
            assert!(texts[0].starts_with(&start) && texts[0].len() > start.len() - why.len(), "{texts:?}");
            assert_eq!(double.received().len(), attempts, "{receiver} {act:?}");
        }
    }
}

#[tokio::test]
async fn retries_end_at_the_total_timeout() {
    let double = Double::start(&[Act::Hang]).await;
    let mut settings = settings(vec![webhook(&double.host)]);
    settings.retry.attempt = Duration::from_secs(3600);
    settings.retry.total = Duration::from_millis(200);
    assert!(problems(&settings, &done()).await[0].ends_with("notification failed: timeout after 0.2 s"));
}

#[tokio::test]
async fn a_failed_receiver_does_not_stop_the_others() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let double = Double::start(&[OK]).await;
    let dir = tempfile::tempdir().unwrap();
    let missing = Reference::File(dir.path().join("missing"));
    let refused = webhook(&port.to_string());
    let unread = Webhook { url: TextOrReference::Reference(missing), ..webhook("x") };
    let not_web = Webhook { url: TextOrReference::Text(Secret::new("ftp://x/planted")), ..webhook("x") };
    let mut settings = settings(vec![refused, unread, not_web, webhook(&double.host)]);
    settings.ping = Some(url(&double.host));
    settings.textfile = Some(dir.path().join("missing/x.prom"));
    let texts = problems(&settings, &failed()).await;
    let starts = ["metrics file ", "webhook 1 (host 127.0.0.1): ", "webhook 2: ", "webhook 3: "];
    assert_eq!(texts.len(), starts.len(), "{texts:?}");
    for (text, start) in texts.iter().zip(starts) {
        assert!(text.starts_with(start), "{text}");
    }
    let mut lines: Vec<_> = double.received().into_iter().map(|r| r.line).collect();
    lines.sort();
    assert_eq!(lines, ["POST /planted/fail?planted=1 HTTP/1.1", "POST /planted?planted=1 HTTP/1.1"]);
}

#[tokio::test]
async fn pings_report_start_success_and_failure() {
    let double = Double::start(&[OK]).await;
    let settings = NotifySettings { ping: Some(url(&double.host)), ..settings(vec![]) };
    started(&settings).await.unwrap();
    assert!(problems(&settings, &done()).await.is_empty());
    assert!(problems(&settings, &failed()).await.is_empty());
    let received = double.received();
    let lines: Vec<_> = received.iter().map(|r| r.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /planted/start?planted=1 HTTP/1.1",
            "POST /planted?planted=1 HTTP/1.1",
            "POST /planted/fail?planted=1 HTTP/1.1",
        ]
    );
    assert_eq!(received[2].body, failed().message);
    let bad = Double::start(&[Act::Answer("404 Not Found")]).await;
    let e = started(&NotifySettings { ping: Some(url(&bad.host)), ..settings }).await.unwrap_err().to_string();
    assert_eq!(e, "ping (host 127.0.0.1): notification failed: HTTP 404");
}

#[tokio::test]
async fn without_receivers_nothing_is_sent() {
    started(&NotifySettings::default()).await.unwrap();
    assert!(problems(&NotifySettings::default(), &failed()).await.is_empty());
}
