#!/usr/bin/env bash
# Installs the servers that the tests, the quickstart and the benchmark run
# against into target/servers; all of them, or those that are named:
#
#   vault-server  unless VAULT_BIN is set, or `vault` or `bao` is on PATH
#   versitygw     an S3 server
#
# What is up to date is left alone; what is new appears whole or not at all.
set -euo pipefail

versitygw=v1.8.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$here/../.." && pwd)/target/servers
mkdir -p "$out"

say() { echo "install.sh: $*" >&2; }

need_go() {
    command -v go >/dev/null && return
    say "Go is needed to build $1, and there is no \`go\` on PATH."
    say "Install Go 1.25 or later (https://go.dev/dl), or, for Vault, set VAULT_BIN or put \`vault\` or \`bao\` on PATH."
    exit 1
}

# build NAME STAMP HOW-LONG COMMAND…: runs COMMAND, which leaves the program NAME in
# the folder $tmp, unless that has been done with the same STAMP before.
build() {
    local name=$1 stamp=$2 time=$3
    shift 3
    if [[ -x $out/$name && $(cat "$out/$name.stamp" 2>/dev/null) == "$stamp" ]]; then
        say "$name is up to date"
        return
    fi
    need_go "$name"
    say "building $name with $(go env GOVERSION): $time the first time, on 2 cores"
    CGO_ENABLED=0 GOBIN=$tmp "$@"
    rm -f "$out/$name.stamp"
    mv -f "$tmp/$name" "$out/$name"
    echo "$stamp" >"$out/$name.stamp"
    say "$name is in $out"
}

# One at a time: two test runs may start together.
exec 9>"$out/.lock"
if ! flock --nonblock 9; then
    say "waiting for another install.sh"
    flock 9
fi
tmp=$(mktemp -d "$out/.new.XXXXXX") # on the file system of $out: mv is then a rename
trap 'rm -rf "$tmp"' EXIT

install_vault_server() {
    if [[ -n ${VAULT_BIN-} ]]; then
        [[ -x $VAULT_BIN ]] || { say "VAULT_BIN=$VAULT_BIN is not a program"; exit 1; }
        say "Vault: $VAULT_BIN, as VAULT_BIN says"
    elif vault=$(command -v vault || command -v bao); then
        say "Vault: $vault, from PATH"
    else
        cd "$here/vault-server"
        build vault-server "$(sha256sum go.mod go.sum ./*.go | sha256sum)" "6 to 8 minutes" \
            go install -trimpath -ldflags='-s -w' .
    fi
}

install_versitygw() {
    cd /
    build versitygw "$versitygw" "about 3 minutes" \
        go install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$versitygw"
}

(($#)) || set -- vault-server versitygw
for name; do
    case $name in
    vault-server) install_vault_server ;;
    versitygw) install_versitygw ;;
    *)
        say "there is no server '$name'"
        exit 2
        ;;
    esac
done
