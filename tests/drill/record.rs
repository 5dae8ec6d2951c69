//! The drill record, the last effect of a drill: it exists if and only if the drill passed.

use super::LOGIN;
use super::ephemeral::ephemeral;
use super::traces::{processes, room};
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::production::Site;
use crate::support::s3::S3;
use crate::support::tool::Tool;
use crate::support::vault::Vault;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An S3 store with the backup of a site.
struct Bucket {
    site: Site,
    s3: S3,
}

impl Bucket {
    fn new() -> Self {
        let (site, s3) = (Site::new(), S3::start());
        s3.bucket("backups");
        site.names().iter().for_each(|name| s3.put("backups", name, &site.get(name)));
        Self { site, s3 }
    }

    /// The store behind a proxy that answers the upload of the drill record.
    fn answering(&self, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> FaultServer {
        FaultServer::proxy(&self.s3.endpoint(), move |call| {
            if call.method == "PUT" && call.path.ends_with(".drill.json") { reply(call) } else { Reply::forward() }
        })
    }

    /// An offline drill.
    fn drill(&self, proxy: &FaultServer) -> Tool {
        let tool = self.site.tool_of(&[], &format!("[staging]\n{LOGIN}")).args(["verify-restore", "--offline"]);
        tool.args(["--store", "s3://backups"]).envs(self.s3.env()).env("AWS_ENDPOINT_URL", proxy.address())
    }

    fn has_record(&self) -> bool {
        self.s3.objects("backups").iter().any(|name| name.ends_with(".drill.json"))
    }
}

#[test]
fn a_drill_without_a_stored_record_fails() {
    let bucket = Bucket::new();
    let refused = bucket.answering(|_| Reply::status(403));
    bucket.drill(&refused).run().fails(4, &[".drill.json"]);
    let dropped = bucket.answering(|_| Reply::status(200).header("ETag", "\"x\""));
    bucket.drill(&dropped).run().fails(4, &[".drill.json", "the store confirmed"]);
    assert!(!bucket.has_record());
    // The store has it, but its response is lost.
    let lost = bucket.answering(|_| Reply::lose());
    bucket.drill(&lost).run().code(0);
    assert!(bucket.has_record());
}

#[test]
fn sigterm_during_the_upload_of_the_record_comes_after_it() {
    for signals in [1, 2] {
        let bucket = Bucket::new();
        let begun = Arc::new(AtomicBool::new(false));
        let uploading = begun.clone();
        let slow = bucket.answering(move |_| {
            uploading.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(2));
            Reply::forward()
        });
        let mut run = bucket.drill(&slow).start();
        run.wait_for("the upload of the record", || begun.load(Ordering::SeqCst).then_some(()));
        for _ in 0..signals {
            run.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(200));
        }
        let output = run.wait();
        // After the second signal the rest of the run is skipped: done in part, if there was any.
        assert!(matches!((signals, output.status), (_, Some(0)) | (2, Some(8))), "{output:?}");
        assert!(bucket.has_record());
    }
}

#[test]
fn sigterm_before_the_upload_of_the_record_leaves_none() {
    let bucket = Bucket::new();
    let object = format!("/backups/{}", bucket.site.production.object);
    let reading = Arc::new(AtomicBool::new(false));
    let begun = reading.clone();
    let slow = FaultServer::proxy(&bucket.s3.endpoint(), move |call| {
        if call.method == "GET" && call.path == object {
            begun.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(1));
        }
        Reply::forward()
    });
    let mut run = bucket.drill(&slow).start();
    run.wait_for("the download", || reading.load(Ordering::SeqCst).then_some(()));
    run.signal(Signal::TERM);
    run.wait().fails(143, &["terminated"]);
    assert!(!bucket.has_record());
}

#[test]
fn a_staging_server_that_cannot_be_sealed_leaves_no_record() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let proxy = FaultServer::proxy(&staging.address(), |call| match call.path.as_str() {
        "/v1/sys/seal" => Reply::status(500),
        _ => Reply::forward(),
    });
    let tool = site.tool(&super::staging_at(proxy.address(), LOGIN)).arg("verify-restore");
    tool.env("STAGING_TOKEN", staging.root_token()).run().fails(6, &["staging left unsealed"]);
    assert_eq!(site.names().len(), 2, "no drill record");
}

/// A core dump of the server would contain the source's keys.
#[test]
fn the_ephemeral_server_and_the_tool_cannot_dump_core() {
    let limits = |process: &str| {
        let text = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        text.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned()
    };
    let fields = |line: &str| line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_ne!(fields(&limits("self"))[1], "0", "this test needs a hard limit above zero");
    let site = Site::new();
    let mut run = ephemeral(&site, "").start();
    let tmp = run.tmp();
    let (directory, server) = run.wait_for("its server", || room(&tmp));
    let all = processes(&directory).into_iter().map(|(pid, _)| pid).chain([server, run.pid() as i32]);
    for pid in all {
        if let Ok(line) = std::panic::catch_unwind(|| limits(&pid.to_string())) {
            assert_eq!(fields(&line), ["0", "0"], "{line}");
        }
    }
    assert_eq!(fields(&limits(&server.to_string())), ["0", "0"]);
    super::ephemeral::passed(&run.wait());
}
