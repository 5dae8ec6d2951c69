//! The guard of a restore drill: refuses a target that is production or cannot read the backup.
//!
//! Compares addresses, peers, products and versions. Each refusal says how production
//! was recognised. Not here: requests to the servers (`target`).
//! A forced restore keeps the target's own raft peers, so they distinguish production
//! from its clone even after many drills; cluster_id does not.

use crate::base::error::{Error, Result};
use crate::formats::archive;
use crate::formats::product::{self, Compatibility, ServerVersion};
use crate::services::vault;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use url::Url;

/// Refuses a staging address that equals one of production's, as text or after name
/// resolution.
///
/// # Errors
/// `Usage` naming the two addresses.
pub(crate) async fn addresses(staging: &Url, production: &[Url], leader: Option<&Url>) -> Result<()> {
    let ours = resolve(staging).await;
    for (url, what) in production.iter().map(|u| (u, "address")).chain(leader.map(|u| (u, "leader"))) {
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        let same_text = match (staging.scheme(), url.scheme()) {
            ("unix", _) | (_, "unix") => staging == url,
            _ => place(staging) == place(url),
        };
        let how = if same_text {
            "it is the same address".to_owned()
        } else if let Some(shared) = ours.intersection(&resolve(url).await).next() {
            format!("both resolve to {shared}")
        } else {
            continue;
        };
        return Err(is_production(staging, &format!("{how} as the production Vault's {what} {url}")));
    }
    Ok(())
}

/// Resolves a URL's host. A name that does not resolve gives no addresses.
async fn resolve(url: &Url) -> BTreeSet<SocketAddr> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return BTreeSet::new() };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    tokio::net::lookup_host((host, port)).await.map(Iterator::collect).unwrap_or_default()
}

/// Refuses a target with several raft peers, or with a peer that the backup's
/// meta.json names.
///
/// # Errors
/// `Usage` naming the peer.
pub(crate) fn peers(staging: &Url, ours: &[vault::Peer], source: &[archive::MetaPeer]) -> Result<()> {
    let [peer] = ours else {
        return Err(Error::usage(format!(
            "staging {staging} has {} raft peers, but a restore drill needs exactly one",
            ours.len()
        ))
        .hint("use a single-node staging Vault: a forced restore removes nodes from a cluster"));
    };
    if source.iter().any(|s| s.address == peer.address) {
        let what = format!("the backup lists its raft peer address {} as one of the source's", peer.address);
        return Err(
            is_production(staging, &what).hint("if it is not production, give the staging node another cluster_addr")
        );
    }
    if source.iter().any(|s| s.id == peer.node_id) {
        let what = format!("the backup lists its raft node id '{}' as one of the source's", peer.node_id);
        return Err(
            is_production(staging, &what).hint("if it is not production, give the staging node another node_id")
        );
    }
    Ok(())
}

/// Refuses a target that cannot, or may not be able to, read the data of the backup's
/// server. `force` allows an older target, but never another product: that target would
/// accept the restore and lose the mounts. Returns a note on the combination, if any.
///
/// # Errors
/// `Usage` naming both servers; nothing was changed.
pub(crate) fn server(source: &ServerVersion, target: &ServerVersion, force: bool) -> Result<Option<String>> {
    let both = format!("the backup was taken from {source}, the target is {target}");
    match product::compare(source, target) {
        Compatibility::OtherProduct => {
            Err(Error::usage(format!("refused: {both}, which would not find the backup's mounts; nothing was changed"))
                .hint("restore it into OpenBao of the same or a newer version"))
        }
        Compatibility::OlderTarget if !force => Err(Error::usage(format!(
            "refused: {both}, which is older and may fail to start with this data; nothing was changed"
        ))
        .hint("use a target of the same or a newer version (restore --force overrides this)")),
        Compatibility::OlderTarget => Ok(Some(format!("forced restore into an older version: {both}"))),
        other => Ok(other.note(source, target)),
    }
}

fn is_production(staging: &Url, how: &str) -> Error {
    Error::usage(format!("refused: staging {staging} is production: {how}; nothing was changed"))
        .hint("set staging.address to a Vault whose data may be replaced")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn peer(id: &str, address: &str) -> vault::Peer {
        vault::Peer { node_id: id.into(), address: address.into(), leader: true, voter: true }
    }

    #[tokio::test]
    async fn guard_recognises_production_by_address_resolved_name_and_leader() {
        let staging = url("https://127.0.0.1:8200");
        let refused = |e: Error| (e.kind() == Kind::Usage).then(|| e.to_string()).unwrap();
        let same = addresses(&staging, &[url("https://127.0.0.1:8200")], None).await.unwrap_err();
        assert!(refused(same).contains("the same address"));
        let named = addresses(&staging, &[url("https://localhost:8200")], None).await.unwrap_err();
        assert!(refused(named).contains("both resolve to 127.0.0.1:8200"));
        let leader = addresses(&staging, &[], Some(&url("http://localhost:8200"))).await.unwrap_err();
        assert!(refused(leader).contains("leader"));
        addresses(&staging, &[url("https://127.0.0.1:8201"), url("https://no-such-host.invalid")], None).await.unwrap();
    }

    #[test]
    fn guard_refuses_raft_peers_that_the_backup_lists() {
        let staging = url("http://s:8200");
        let source = [archive::MetaPeer { id: "n1".into(), address: "10.0.0.1:8201".into() }];
        peers(&staging, &[peer("s1", "10.0.0.9:8201")], &source).unwrap();
        for (ours, part) in [
            (vec![peer("s1", "10.0.0.1:8201")], "cluster_addr"),
            (vec![peer("n1", "10.0.0.9:8201")], "node_id"),
            (vec![peer("a", "1:1"), peer("b", "2:2"), peer("c", "3:3")], "3 raft peers"),
            (vec![], "0 raft peers"),
        ] {
            let error = peers(&staging, &ours, &source).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
