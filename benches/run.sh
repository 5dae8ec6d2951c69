#!/usr/bin/env bash
# Compares vault-backup with the limits of the hardware and with other tools; writes benches/RESULTS.md.
#
#   benches/run.sh                    all stages except drill and offline
#   benches/run.sh vault synthetic    only these; the other sections of RESULTS.md are kept
#
# Stages:
#   vault      a real Vault of ~300 MB: backup, a plain download, and curl | openssl | aws
#   synthetic  a source limited only by loopback: throughput and peak memory at 256 MB, 1 GB, 4 GB
#   decrypt    a backup of 1 GB, compared with openssl and age; peak memory at 256 MB and 4 GB
#   start      size and start time of the binary
#   prune      10,000 objects, 9,000 of them deleted, compared with only the list and delete calls
#   drill      verify-restore of ~300 MB, compared with curl to snapshot-force
#   offline    verify-restore --offline of ~300 MB, compared with decrypt of the same object
#
#   BENCH_ROUNDS   interleaved runs of each, after an uncounted warm-up [default: 5]
#   BENCH_DIR      directory for the data; 20 GB for all stages [default: $TMPDIR, else /tmp]
#   VAULT_BIN      the Vault server [default: the tests' Vault, as in RESULTS.md]
#
# Run it on an idle machine. Ratios compare runs of the same round, but other processes on two cores
# still distort them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in cargo curl openssl python3; do
    command -v "$tool" >/dev/null || {
        echo "benches/run.sh: $tool: not found on PATH" >&2
        exit 1
    }
done
# A child inherits the peak memory of a large parent; /usr/bin/time is a small parent.
[[ -x /usr/bin/time ]] || {
    echo "benches/run.sh: /usr/bin/time: not found; install the package 'time' (Debian, Fedora)" >&2
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
    # The file name has a hash that only Cargo knows.
    BARE_PRUNE_BIN=$(cargo build --release --quiet --bench bare_prune --message-format json | python3 -c '
import json, sys
artifacts = (json.loads(line) for line in sys.stdin)
print(next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "bare_prune"))')
    export BARE_PRUNE_BIN
fi
exec python3 benches/bench.py "$@"
