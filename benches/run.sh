#!/usr/bin/env bash
# Measures vault-backup against its limits and its peers, and writes benches/RESULTS.md.
#
#   benches/run.sh                    all stages but drill and offline
#   benches/run.sh vault synthetic    only these; the other sections of RESULTS.md stay
#
# Stages:
#   vault      a real Vault of ~300 MB: backup, the bare download, and curl | openssl | aws
#   synthetic  a source as fast as loopback: throughput and peak memory at 256 MB, 1 GB, 4 GB
#   decrypt    a backup of 1 GB, beside openssl and age; peak memory at 256 MB and 4 GB
#   start      the binary's size and how long it takes to start
#   prune      10,000 objects of which 9,000 go, beside the bare list and delete calls
#   drill      verify-restore of ~300 MB, beside curl to snapshot-force
#   offline    verify-restore --offline of ~300 MB, beside decrypt of the same object
#
#   BENCH_ROUNDS   measured runs of each, interleaved, after one that does not count [default: 5]
#   BENCH_DIR      where the data goes; 20 GB for all stages [default: $TMPDIR, else /tmp]
#   VAULT_BIN      the server [default: the tests' own Vault, which the figures in RESULTS.md are of]
#
# Run it on an idle machine: the ratios are of one run, but two processes that share two cores with
# a compiler measure the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in cargo curl openssl python3; do
    command -v "$tool" >/dev/null || {
        echo "benches/run.sh: $tool is needed and was not found" >&2
        exit 1
    }
done
# A child of a large process inherits its peak memory; this small parent is what measures.
[[ -x /usr/bin/time ]] || {
    echo "benches/run.sh: /usr/bin/time is needed: the package 'time' of Debian and Fedora" >&2
    exit 1
}

cargo build --release --quiet
tests/servers/install.sh
VAULT_BIN=${VAULT_BIN:-target/servers/vault-server}
if ! command -v age >/dev/null && [[ ! -x target/servers/age ]] && command -v go >/dev/null; then
    GOBIN=$PWD/target/servers go install filippo.io/age/cmd/{age,age-keygen}@v1.3.2
fi

export VAULT_BIN PATH=$PATH:$PWD/target/servers
VAULT_BACKUP_BIN=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/vault-backup
export VAULT_BACKUP_BIN
if [[ $# == 0 || " $* " == *" prune "* ]]; then
    # Cargo alone knows its full name.
    BARE_PRUNE_BIN=$(cargo build --release --quiet --bench bare_prune --message-format json | python3 -c '
import json, sys
artifacts = (json.loads(line) for line in sys.stdin)
print(next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "bare_prune"))')
    export BARE_PRUNE_BIN
fi
exec python3 benches/bench.py "$@"
