#!/bin/sh
# Installs the Python packages of tests/requirements.txt into target/python: independent
# implementations that the tests compare with. Alternatively, set TEST_PYTHON to a Python
# that already has them.
set -eu
cd "$(dirname "$0")/../.."

venv=target/python
wanted=tests/requirements.txt
if ! cmp -s "$wanted" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/installed.txt"
fi
