//! Finding the leader.

use super::{WHOLE, assert_says, client, entries, read, root, session, settings, take, url};
use crate::support::balancer::Balancer;
use crate::support::cluster::Cluster;
use crate::support::fault::{FaultServer, Reply};
use crate::support::vault::{Server, Vault};
use futures_util::StreamExt;
use std::time::Duration;
use vault_backup::base::error::Kind;
use vault_backup::services::vault::Client;

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_found_through_each_node() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let token = leader.root_token();
    for address in cluster.addresses() {
        let client = Client::new(settings(&[&address])).unwrap();
        let node = client.leader().await.unwrap();
        assert_eq!(node.address, url(&leader.address()), "from {address}");
        assert_eq!(node.health.cluster_id, Some(leader.cluster_id()));
        assert!(node.health.is_active() && node.health.server_time.is_some());
        assert_eq!((node.seal.seal_type.as_str(), node.seal.threshold, node.seal.shares), ("shamir", 2, 3));
        assert_eq!(entries(&take(&client, token).await.unwrap()), WHOLE);
        let peers = client.raft_configuration(&node.address, &root(leader)).await.unwrap();
        let leaders: Vec<_> = peers.iter().filter(|p| p.leader).map(|p| p.node_id.as_str()).collect();
        assert_eq!((peers.len(), leaders), (3, vec![leader.node_id()]));
        assert!(peers.iter().all(|peer| peer.voter && peer.address.starts_with("127.0.0.1:")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_lost_before_the_snapshot_is_replaced() {
    let cluster = Cluster::start(3);
    let client = Client::new(settings(&cluster.addresses())).unwrap();
    let dead = cluster.leader();
    let (node, session) = session(&client, dead.root_token()).await.unwrap();
    assert_eq!(node.address, url(&dead.address()));
    dead.kill();
    let snapshot = client.snapshot(&node, &session).await.unwrap();
    assert_ne!(snapshot.node.address, node.address);
    assert_eq!(snapshot.node.health.cluster_id, node.health.cluster_id);
    assert_eq!(entries(&read(snapshot).await.unwrap()), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_lost_during_the_snapshot_is_an_error() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    leader.fill(24 << 20);
    let client = Client::new(settings(&cluster.addresses())).unwrap();
    let (node, session) = session(&client, leader.root_token()).await.unwrap();
    let mut body = client.snapshot(&node, &session).await.unwrap().body;
    assert!(!body.next().await.unwrap().unwrap().is_empty());
    leader.kill();
    let end = loop {
        match body.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a cut snapshot ended as if it were whole"),
        }
    };
    assert_says(&end, Kind::Vault, &[&leader.address(), "snapshot, after", "bytes"]);
    assert!(body.next().await.is_none(), "nothing comes after the error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_a_leader_times_out() {
    let cluster = Cluster::start(3);
    let standbys = cluster.standbys();
    let (last, other) = (standbys[0], standbys[1]);
    let client = Client::new(settings(&[last.address()])).unwrap().with_election_wait(Duration::from_secs(3));
    cluster.leader().kill();
    other.kill();
    let error = client.leader().await.unwrap_err();
    assert_says(&error, Kind::Vault, &[&last.address(), "standby"]);

    let all = Client::new(settings(&cluster.addresses())).unwrap().with_election_wait(Duration::from_secs(1));
    let error = all.leader().await.unwrap_err();
    let addresses = cluster.addresses();
    let texts: Vec<_> =
        addresses.iter().map(String::as_str).chain(["no active Vault node at any address", "refused"]).collect();
    assert_says(&error, Kind::Vault, &texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_among_the_addresses_is_skipped() {
    let vault = Vault::start();
    let gone = Vault::builder().uninitialised();
    let client = Client::new(settings(&[gone.address(), vault.address()])).unwrap();
    assert_eq!(client.leader().await.unwrap().address, url(&vault.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_or_uninitialised_vault_is_not_waited_for() {
    let mut vault = Vault::builder().uninitialised().start();
    let client = client(&vault);
    let at = vault.address();
    assert_says(&client.leader().await.unwrap_err(), Kind::Vault, &[&at, "not initialised", "vault operator init"]);
    vault.initialise(1, 1);
    assert_says(&client.leader().await.unwrap_err(), Kind::Vault, &[&at, "sealed", "vault operator unseal"]);
    let health = client.health(&url(&at)).await.unwrap();
    assert_eq!((health.status, health.sealed, health.initialized), (503, true, true));
    vault.stop();
    assert_says(
        &client.leader().await.unwrap_err(),
        Kind::Vault,
        &[&at, "refused", "check that Vault is running there"],
    );
}

/// Returns the addresses of `cluster`, the leader's last: the first connections of a load balancer go
/// to standbys.
fn leader_last(cluster: &Cluster) -> Vec<String> {
    let standbys = cluster.standbys();
    standbys.into_iter().chain([cluster.leader()]).map(Vault::address).collect()
}

/// As with Vault's Helm chart: each node names its pod's address, which is unreachable from outside.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_works_although_the_named_leader_is_unreachable() {
    let cluster = Cluster::start_with(3, |node| node.api_addr("http://127.0.0.1:1"));
    let token = cluster.leader().root_token();
    let balancer = Balancer::start(&leader_last(&cluster));
    for _ in 0..3 {
        let client = Client::new(settings(&[&balancer.address])).unwrap();
        assert_eq!(client.leader().await.unwrap().address, url(&balancer.address));
        assert_eq!(entries(&take(&client, token).await.unwrap()), WHOLE);
    }

    // The connection stays at a node that is not the leader any more at the snapshot request.
    let client = Client::new(settings(&[&balancer.address])).unwrap();
    let (node, session) = session(&client, token).await.unwrap();
    cluster.leader().step_down();
    assert_eq!(entries(&read(client.snapshot(&node, &session).await.unwrap()).await.unwrap()), WHOLE);

    let standby = cluster.standbys()[0].address();
    let alone = Client::new(settings(&[&standby])).unwrap().with_election_wait(Duration::from_secs(2));
    let error = alone.leader().await.unwrap_err();
    assert_says(
        &error,
        Kind::Vault,
        &[&standby, "a standby", "127.0.0.1:1", "or of a load balancer, in vault.addresses"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_respond_is_asked_once() {
    let silent = FaultServer::start(|_| Reply::hang());
    let cluster = Cluster::start_with(3, |node| node.api_addr(silent.address()));
    let balancer = Balancer::start(&leader_last(&cluster));
    let short = vault_backup::services::vault::VaultSettings {
        idle_timeout: Duration::from_secs(2),
        ..settings(&[&balancer.address])
    };
    let node = Client::new(short).unwrap().leader().await.unwrap();
    assert_eq!(node.address, url(&balancer.address));
    assert_eq!(silent.calls().iter().filter(|call| call.path == "/v1/sys/health").count(), 1);
}

/// Only Vault has listeners that redact.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_redacts_addresses_is_named() {
    let redact = "redact_addresses = true\n redact_cluster_name = true\n redact_version = true";
    let cluster = Cluster::start_with(3, |node| node.server(Server::Vault).listener(redact));
    let token = cluster.leader().root_token();
    let every = Client::new(settings(&leader_last(&cluster))).unwrap();
    let node = every.leader().await.unwrap();
    assert_eq!(node.address, url(&cluster.leader().address()));
    assert_eq!((node.health.version, node.health.cluster_name, node.seal.cluster_name), (None, None, None));
    assert!(node.health.cluster_id.is_some());
    assert_eq!(entries(&take(&every, token).await.unwrap()), WHOLE);

    let balancer = Balancer::start(&leader_last(&cluster));
    let through = Client::new(settings(&[&balancer.address])).unwrap();
    assert_eq!(entries(&take(&through, token).await.unwrap()), WHOLE);

    let standby = cluster.standbys()[0].address();
    let alone = Client::new(settings(&[&standby])).unwrap().with_election_wait(Duration::from_secs(2));
    let error = alone.leader().await.unwrap_err();
    assert_says(&error, Kind::Vault, &[&standby, "redacts the leader's address", "vault.addresses"]);
}
