#!/bin/sh
# Checks for the ordinary programs that the tests need. In CI, as root, installs the missing
# ones from Debian's packages; elsewhere, lists the packages and fails.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
# PROGRAM:PACKAGE
for need in cron:cron logrotate:logrotate tmux:tmux script:bsdutils unshare:util-linux \
    systemd-analyze:systemd jq:jq openssl:openssl strace:strace faketime:faketime mount:mount; do
    command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0
if [ "${CI-}" != true ] || [ "$(id -u)" != 0 ]; then
    echo "programs.sh: missing packages:$missing" >&2
    exit 1
fi
echo "programs.sh: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # start no service
apt-get -qq -o Acquire::Retries=3 update
# shellcheck disable=SC2086 # one package name per word
apt-get -qq -o Acquire::Retries=3 install -y --no-install-recommends $missing >/dev/null
