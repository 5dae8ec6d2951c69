#!/bin/sh
# Installs the Python packages that tests compare the format with into target/python.
# A Python that has them already can be named with TEST_PYTHON instead.
set -eu
cd "$(dirname "$0")/../.."

venv=target/python
wanted="cryptography==50.0.2 tink==1.16.1"
if [ "$(cat "$venv/wanted" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086  # a list of words
    "$venv/bin/pip" install --quiet --disable-pip-version-check $wanted
    echo "$wanted" >"$venv/wanted"
fi
