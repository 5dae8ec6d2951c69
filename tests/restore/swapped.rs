//! A backup that another writer changes between the check and the restore, or between any two
//! reads: every read must be of the same bytes, before the last of them goes out.

use super::cluster_name;
use crate::drill::LOGIN;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{CANARY, Site, seal, seal_older};
use crate::support::s3::S3;
use crate::support::tool::{Output, Tool, tool};
use crate::support::vault::{ACTIVE, Vault};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{Header, Key, SourceServer};
use vault_backup::formats::naming::BackupName;

const BUCKET: &str = "backups";

/// The place of the backup that is swapped.
#[derive(Clone)]
enum Shelf {
    /// The site's directory.
    Directory(PathBuf),
    Bucket(Arc<S3>),
}

impl Shelf {
    /// Writes an object as another writer does: from a thread of its own.
    fn put(&self, name: &str, bytes: &[u8]) {
        std::thread::scope(|scope| {
            scope.spawn(|| match self {
                Shelf::Directory(store) => std::fs::write(store.join(name), bytes).unwrap(),
                Shelf::Bucket(s3) => s3.put(BUCKET, name, bytes),
            });
        });
    }

    fn tool(&self, tool: Tool) -> Tool {
        match self {
            Shelf::Directory(_) => tool,
            Shelf::Bucket(s3) => tool.args(["--store", &format!("s3://{BUCKET}")]).envs(s3.env()),
        }
    }
}

/// The directory, and a bucket with the same objects.
fn shelves(site: &Site) -> [Shelf; 2] {
    let s3 = S3::start();
    s3.bucket(BUCKET);
    site.names().iter().for_each(|name| s3.put(BUCKET, name, &site.get(name)));
    [Shelf::Directory(site.path("store")), Shelf::Bucket(Arc::new(s3))]
}

/// A good backup of production under the name `object`, never the same bytes twice.
fn backup(site: &Site, object: &str, snapshot: &[u8]) -> Vec<u8> {
    let header = Header {
        key_id: Key::from_hex(&Secret::new(&site.production.key)).unwrap().id().to_owned(),
        created_at: BackupName::parse(object).unwrap().created_at(),
        vault: SourceServer::default(),
        tool: "test/1".into(),
    };
    seal(&site.production.key, snapshot, &header)
}

/// Everything that another writer may put in its place.
fn swaps(site: &Site, object: &str, snapshot: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let original = site.get(object);
    let mut all = vec![
        ("another good backup", backup(site, object, &site.production.vault.snapshot())),
        ("the same snapshot, encrypted again", backup(site, object, snapshot)),
        ("a renamed backup", site.get(&site.production.object)),
        ("a legacy backup", seal_older(&site.production.key, snapshot)),
        ("truncated", original[..original.len() - 1].to_vec()),
        ("extended", [&original[..], b"x"].concat()),
    ];
    // Renamed to its own name, a backup is the same.
    all.retain(|(_, bytes)| *bytes != original);
    all
}

/// A proxy for `target` that swaps the backup after the check: when the restore creates the
/// token that it must invalidate.
fn swapping(target: &Vault, swap: impl Fn() + Send + Sync + 'static) -> FaultServer {
    FaultServer::proxy(&target.address(), move |call| {
        if call.path.ends_with("/auth/token/create") {
            swap();
        }
        Reply::forward()
    })
}

#[track_caller]
fn assert_refused(output: &Output, object: &str, target: &Vault, what: &str) {
    assert_eq!(output.status, Some(5), "{what}: {output:?}");
    for part in [object, "the backup changed between the check and the restore", "hint: find out who wrote to it"] {
        output.stderr_contains(part);
    }
    assert_eq!(target.health(), Some(ACTIVE), "{what}");
    assert!(target.token_is_valid(target.root_token()), "{what}: the target has its own state");
}

#[test]
fn restore_refuses_a_backup_that_was_swapped_after_the_check() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let (target, good, bare) = (Vault::start(), site.production.object.clone(), site.seal(&snapshot));
    let name = cluster_name(&target);
    for shelf in shelves(&site) {
        // With a manifest, and without one, where only the first read tells the right bytes.
        for (object, args) in [(&good, &[][..]), (&bare, &["--unverified"])] {
            let original = site.get(object);
            for (what, swap) in swaps(&site, object, &snapshot) {
                let (other, at) = (shelf.clone(), object.clone());
                let proxy = swapping(&target, move || other.put(&at, &swap));
                let tool = site.tool("").args(["restore", object, "--address", proxy.address(), "--confirm", &name]);
                let tool = tool.args(["--force", "--legacy"]).args(args).env("VAULT_TOKEN", target.root_token());
                let output = shelf.tool(tool).run();
                assert_refused(&output, object, &target, what);
                output.stderr_contains("nothing was changed in the target");
                shelf.put(object, &original);
            }
        }
    }
}

#[test]
fn restore_drill_refuses_a_backup_that_was_swapped_after_the_first_look() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let (target, bare) = (Vault::builder().staging().start(), site.seal(&snapshot));
    let original = site.get(&bare);
    for shelf in shelves(&site) {
        for (what, swap) in swaps(&site, &bare, &snapshot) {
            let (other, at) = (shelf.clone(), bare.clone());
            let proxy = swapping(&target, move || other.put(&at, &swap));
            let staging = format!("[staging]\naddress = {:?}\ntoken = \"env:ROOT_THERE\"\n{LOGIN}", proxy.address());
            let tool = site.tool(&staging).args(["verify-restore", "--legacy", &bare]);
            let output = shelf.tool(tool.env("ROOT_THERE", target.root_token())).run();
            assert_refused(&output, &bare, &target, what);
            shelf.put(&bare, &original);
        }
    }
}

/// Nothing but the bytes differs: the size, the inode and the time of the last write are the same.
#[test]
fn restore_refuses_a_file_that_was_rewritten_after_the_check() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let (target, stored) = (Vault::start(), site.seal(&snapshot));
    let name = cluster_name(&target);
    let (original, other) = (site.get(&stored), backup(&site, &stored, &snapshot));
    assert_eq!(original.len(), other.len());
    let copy = site.file("copy.enc", &original);
    for (input, path) in [(&stored, site.path("store").join(&stored)), (&copy, copy.clone().into())] {
        let (at, bytes) = (path.clone(), other.clone());
        let proxy = swapping(&target, move || {
            let before = at.metadata().unwrap();
            std::fs::write(&at, &bytes).unwrap();
            std::fs::File::open(&at).unwrap().set_modified(before.modified().unwrap()).unwrap();
            assert_eq!((before.ino(), before.len()), (at.metadata().unwrap().ino(), at.metadata().unwrap().len()));
        });
        let tool = site.tool("").args(["restore", input, "--address", proxy.address(), "--confirm", &name]);
        let output = tool.args(["--force", "--unverified"]).env("VAULT_TOKEN", target.root_token()).run();
        assert_refused(&output, input, &target, "rewritten in place");
    }
}

/// The open file is read, not what its path leads to by then.
#[test]
fn restore_sends_the_file_that_it_checked_after_a_rename() {
    let site = Site::new();
    let target = Vault::start();
    let (copy, other) = (site.file("copy.enc", &site.get(&site.production.object)), site.path("other"));
    std::fs::write(&other, b"not a backup").unwrap();
    let at = copy.clone();
    let proxy = swapping(&target, move || std::fs::rename(&other, &at).unwrap());
    let tool =
        site.tool("").args(["restore", &copy, "--address", proxy.address(), "--confirm", &cluster_name(&target)]);
    tool.arg("--force").env("VAULT_TOKEN", target.root_token()).run().ok();
    target.unseal(site.production.vault.enough_shares());
    assert!(site.production.canary_at(&target).is_some());
}

/// A proxy for the store that asks `before` before the download of number `nth`.
fn on_download(s3: &S3, nth: usize, before: impl Fn() -> Reply + Send + Sync + 'static) -> FaultServer {
    let downloads = AtomicUsize::new(0);
    FaultServer::proxy(&s3.endpoint(), move |call| {
        let download = call.method == "GET" && call.path.ends_with(".enc");
        match download && downloads.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            true => before(),
            false => Reply::forward(),
        }
    })
}

/// The tool with the shares, without a Vault, and with `vault.cluster_id` if it is given.
fn offline(site: &Site, shelf: &Shelf, cluster: Option<&str>) -> Tool {
    let cluster = cluster.map_or(String::new(), |id| format!("[vault]\ncluster_id = {id:?}\n"));
    let rest = "[encryption]\nkey = \"env:KEY\"\n[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let config = site.file("offline.toml", format!("{cluster}{rest}").as_bytes());
    shelf.tool(site.production.armed(tool()).args(["--config", &config]))
}

#[test]
fn offline_reads_refuse_a_backup_that_was_swapped_between_them() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let bare = site.seal(&snapshot);
    let original = site.get(&bare);
    let [_, shelf] = shelves(&site);
    let Shelf::Bucket(s3) = &shelf else { unreachable!() };
    let id = site.production.vault.cluster_id();
    let drill: &[&str] = &["verify-restore", "--offline", "--legacy", &bare];
    let recover: &[&str] = &["recover", CANARY, "--from", &bare, "-o", "secret", "--legacy"];
    // With a cluster id, `recover` reads the header before the shares are used.
    for (command, cluster, nth) in
        [(drill, None, 2), (recover, None, 2), (recover, Some(&*id), 2), (recover, Some(&*id), 3)]
    {
        for (what, swap) in swaps(&site, &bare, &snapshot) {
            let (other, at) = (shelf.clone(), bare.clone());
            let proxy = on_download(s3, nth, move || {
                other.put(&at, &swap);
                Reply::forward()
            });
            let output = offline(&site, &shelf, cluster).args(command).env("AWS_ENDPOINT_URL", proxy.address()).run();
            output.fails(5, &[&bare, "the backup changed between two reads of it"]).leaves(&[]).stdout_is("");
            assert!(!s3.objects(BUCKET).iter().any(|name| name.ends_with(".drill.json")), "{what}");
            shelf.put(&bare, &original);
        }
        // The same without a swap.
        let output = offline(&site, &shelf, cluster).args(command).run();
        output.code(0);
    }
}

/// The store sends another good backup with the size and the entity tag of the first.
#[test]
fn a_store_that_hides_the_swap_is_found_by_the_bytes() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let bare = site.seal(&snapshot);
    let (first, second) = (site.get(&bare), backup(&site, &bare, &snapshot));
    assert_eq!(first.len(), second.len());
    let [_, shelf] = shelves(&site);
    let Shelf::Bucket(s3) = &shelf else { unreachable!() };
    let drill: &[&str] = &["verify-restore", "--offline", &bare];
    let recover: &[&str] = &["recover", CANARY, "--from", &bare, "-o", "secret"];
    for command in [drill, recover] {
        let (first, second, downloads) = (first.clone(), second.clone(), AtomicUsize::new(0));
        let proxy = FaultServer::proxy(&s3.endpoint(), move |call| {
            if call.method != "GET" || !call.path.ends_with(".enc") {
                return Reply::forward();
            }
            let body = if downloads.fetch_add(1, Ordering::SeqCst) == 0 { &first } else { &second };
            Reply::status(200).header("ETag", "\"same\"").body(body.clone())
        });
        let output = offline(&site, &shelf, None).args(command).env("AWS_ENDPOINT_URL", proxy.address()).run();
        output.fails(5, &[&bare, "the backup changed between two reads of it"]).leaves(&[]).stdout_is("");
    }
}
