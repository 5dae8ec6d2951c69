//! The guard: is the target of a drill really not production, and can it read the backup?
//!
//! Here: the comparison of addresses, peers, products and versions, each refusal saying
//! by what production was recognised. Not here: asking the servers (`target`).
//! A force-restore leaves the target's own raft peers in place, so they tell
//! production from its clone also after many drills; cluster_id does not.

use crate::base::error::{Error, Result};
use crate::formats::archive;
use crate::formats::product::{self, Fit, ServerVersion};
use crate::services::vault;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use url::Url;

/// Refuses a staging address that is one of production's, by its text or by what
/// the names resolve to.
///
/// # Errors
/// `Usage` naming the two addresses.
pub async fn addresses(staging: &Url, production: &[Url], leader: Option<&Url>) -> Result<()> {
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

/// A name that does not resolve is nobody's address.
async fn resolve(url: &Url) -> BTreeSet<SocketAddr> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return BTreeSet::new() };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    tokio::net::lookup_host((host, port)).await.map(Iterator::collect).unwrap_or_default()
}

/// Refuses a target that has several raft peers, or one that the backup's own
/// meta.json names.
///
/// # Errors
/// `Usage` naming the peer.
pub fn peers(staging: &Url, ours: &[vault::Peer], source: &[archive::MetaPeer]) -> Result<()> {
    let [peer] = ours else {
        return Err(Error::usage(format!("staging {staging} has {} raft peers, a drill needs one", ours.len()))
            .hint("use a single-node staging Vault: in a cluster a force-restore removes nodes"));
    };
    if source.iter().any(|s| s.address == peer.address) {
        let what = format!("its raft peer address {} is one that the backup names as its source's", peer.address);
        return Err(is_production(staging, &what)
            .hint("nothing was touched; if it is not production, give the staging node another cluster_addr"));
    }
    if source.iter().any(|s| s.id == peer.node_id) {
        let what = format!("its raft node id '{}' is one that the backup names as its source's", peer.node_id);
        return Err(is_production(staging, &what)
            .hint("nothing was touched; if it is not production, give the staging node another node_id"));
    }
    Ok(())
}

/// Refuses a target that would not, or may not, read what the backup's server wrote.
/// An older target is allowed with `force`, another product never: the restore would
/// be accepted, and the mounts be gone. Gives a note where there is something to say.
///
/// # Errors
/// `Usage` naming both servers; nothing was changed.
pub fn server(source: &ServerVersion, target: &ServerVersion, force: bool) -> Result<Option<String>> {
    let both = format!("the backup is of {source}, the target is {target}");
    match product::fit(source, target) {
        Fit::OtherProduct => {
            Err(Error::usage(format!("refused: {both}, which would find none of the backup's mounts"))
                .hint("nothing was changed; restore it into OpenBao, in the same version or a newer one"))
        }
        Fit::OlderTarget if !force => Err(Error::usage(format!(
            "refused: {both}, which is older and may never come up with it"
        ))
        .hint(
            "nothing was changed; use a target in the backup's version or a newer one (restore --force overrides this)",
        )),
        Fit::OlderTarget => Ok(Some(format!("forced into an older version: {both}"))),
        fit => Ok(fit.note(source, target)),
    }
}

fn is_production(staging: &Url, how: &str) -> Error {
    Error::usage(format!("refused: staging {staging} is production: {how}"))
        .hint("nothing was touched; set staging.address to a Vault whose data may be replaced")
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
    async fn production_is_recognised_by_address_name_and_leader() {
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
    fn peers_tell_production_from_its_clone() {
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
