//! Notifications, pings and metrics against receivers that misbehave.

mod double;

use double::{Act, Double};
use serde_json::{Map, Value, json};
use std::time::Duration;
use vault_backup::base::error::{Error, Kind};
use vault_backup::base::secret::{Reference, Secret, TextOrReference};
use vault_backup::services::notify::delivery::Patience;
use vault_backup::services::notify::metrics::Figures;
use vault_backup::services::notify::webhook::{Shape, Webhook};
use vault_backup::services::notify::{Event, NotifySettings, Operation, send_all, started};

const OK: Act = Act::Answer("204 No Content");

fn url(host: &str) -> TextOrReference {
    TextOrReference::Text(Secret::new(format!("http://{host}/planted?planted=1")))
}

fn webhook(host: &str) -> Webhook {
    Webhook { shape: Shape::Webhook, url: url(host), on_success: true, on_failure: true }
}

fn settings(notify: Vec<Webhook>) -> NotifySettings {
    let patience = Patience {
        attempt: Duration::from_millis(300),
        total: Duration::from_secs(20),
        pause: Duration::from_millis(1),
    };
    NotifySettings { notify, patience, ..NotifySettings::default() }
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

/// The problems, as text; each is `Partial`, and none has the secret part of a URL.
async fn problems(settings: &NotifySettings, event: &Event) -> Vec<String> {
    let problems = send_all(settings, event, &Figures::default()).await;
    assert!(problems.iter().all(|e| e.kind() == Kind::Partial));
    let texts: Vec<_> = problems.iter().map(Error::to_string).collect();
    assert!(!format!("{texts:?} {problems:?}").contains("planted"), "{problems:?}");
    texts
}

#[tokio::test]
async fn a_webhook_gets_the_notification() {
    let double = Double::start(&[OK]).await;
    assert!(problems(&settings(vec![webhook(&double.host)]), &done()).await.is_empty());
    let received = double.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line, "POST /planted?planted=1 HTTP/1.1");
    assert!(received[0].headers.iter().any(|h| h.eq_ignore_ascii_case("content-type: application/json")));
    assert_eq!(serde_json::from_str::<Value>(&received[0].body).unwrap(), done().notification());
}

#[tokio::test]
async fn slack_gets_its_own_shape() {
    let double = Double::start(&[OK]).await;
    let target = Webhook { shape: Shape::Slack, ..webhook(&double.host) };
    assert!(problems(&settings(vec![target]), &done()).await.is_empty());
    assert_eq!(
        serde_json::from_str::<Value>(&double.received()[0].body).unwrap(),
        json!({
            "text": "made &lt;daily&gt; &amp; well",
            "attachments": [{
                "color": "good",
                "title": "vault_backup_success",
                "fields": [{"title": "backup_path", "value": "daily/&lt;x&gt;.enc", "short": true}],
                "ts": 1_764_122_400,
            }],
        })
    );
}

#[tokio::test]
async fn only_those_who_want_to_know_are_told() {
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
    for (event, told) in [(done(), 1), (failed(), 1), (partial, 2)] {
        let before = double.received().len();
        assert!(problems(&settings, &event).await.is_empty());
        assert_eq!(double.received().len() - before, told, "{:?}", event.outcome);
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let acts = [Act::Close, Act::Answer("503 Unavailable"), Act::Answer("429 Too Many Requests"), OK];
    let double = Double::start(&acts).await;
    assert!(problems(&settings(vec![webhook(&double.host)]), &done()).await.is_empty());
    assert_eq!(double.received().len(), 4);
}

/// Whatever they do, and whoever they are: webhook, Slack, and the ping.
#[tokio::test]
async fn what_stays_is_told_in_the_end() {
    for (act, attempts, why) in [
        (Act::Answer("500 Internal Server Error"), 4, "it answered 500"),
        (Act::Answer("404 Not Found"), 1, "it answered 404"),
        (Act::Answer("302 Found\r\nLocation: /elsewhere"), 1, "it answered 302; redirects are not followed"),
        (Act::Hang, 4, "no answer in time"),
        (Act::Stall, 4, "no answer in time"),
        (Act::Close, 4, ""),
        (Act::Cut, 4, ""),
    ] {
        for whom in ["webhook 1", "webhook 1 as Slack", "the ping"] {
            let double = Double::start(std::slice::from_ref(&act)).await;
            let settings = match whom {
                "webhook 1" => settings(vec![webhook(&double.host)]),
                "the ping" => NotifySettings { ping: Some(url(&double.host)), ..settings(vec![]) },
                _ => settings(vec![Webhook { shape: Shape::Slack, ..webhook(&double.host) }]),
            };
            let texts = problems(&settings, &done()).await;
            let start = format!("{} (host 127.0.0.1) could not be told: {why}", whom.trim_end_matches(" as Slack"));
            assert_eq!(texts.len(), 1, "{whom}");
            assert!(texts[0].starts_with(&start) && texts[0].len() > start.len() - why.len(), "{texts:?}");
            assert_eq!(double.received().len(), attempts, "{whom} {act:?}");
        }
    }
}

#[tokio::test]
async fn patience_ends() {
    let double = Double::start(&[Act::Hang]).await;
    let mut settings = settings(vec![webhook(&double.host)]);
    settings.patience.attempt = Duration::from_secs(3600);
    settings.patience.total = Duration::from_millis(200);
    assert!(problems(&settings, &done()).await[0].ends_with("could not be told: not within 0.2 s"));
}

#[tokio::test]
async fn one_that_fails_stops_no_other() {
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
    let starts = ["metrics file ", "webhook 1 (host 127.0.0.1) could", "webhook 2 could", "webhook 3 could"];
    assert_eq!(texts.len(), starts.len(), "{texts:?}");
    for (text, start) in texts.iter().zip(starts) {
        assert!(text.starts_with(start), "{text}");
    }
    let mut lines: Vec<_> = double.received().into_iter().map(|r| r.line).collect();
    lines.sort();
    assert_eq!(lines, ["POST /planted/fail?planted=1 HTTP/1.1", "POST /planted?planted=1 HTTP/1.1"]);
}

#[tokio::test]
async fn pings_tell_start_and_end() {
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
    assert_eq!(e, "the ping (host 127.0.0.1) could not be told: it answered 404");
}

#[tokio::test]
async fn nobody_to_tell() {
    started(&NotifySettings::default()).await.unwrap();
    assert!(problems(&NotifySettings::default(), &failed()).await.is_empty());
}
