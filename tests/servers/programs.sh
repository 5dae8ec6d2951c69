#!/bin/sh
# Makes sure of the programs that the tests need because operators have them. Under CI,
# as root, Debian's packages are installed for what is missing; elsewhere they are named.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
# Program and package.
for need in cron:cron logrotate:logrotate tmux:tmux script:bsdutils unshare:util-linux \
    systemd-analyze:systemd jq:jq openssl:openssl; do
    command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0
if [ "${CI-}" != true ] || [ "$(id -u)" != 0 ]; then
    echo "programs.sh: please install:$missing" >&2
    exit 1
fi
echo "programs.sh: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # none of them is started here
apt-get -qq -o Acquire::Retries=3 update
# shellcheck disable=SC2086 # names of packages, one a word
apt-get -qq -o Acquire::Retries=3 install -y --no-install-recommends $missing >/dev/null
