#!/usr/bin/env bash
# Installs Kilostack with its tools and passes every check and test. Servers that are reachable on
# their standard ports of 127.0.0.1 are used; with CI=true one that is missing is a failure.
# Arguments are session names of noxfile.py (none: all of them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
. deploy/environment.sh

kilo_venv "$root/.venv-test" "dev"
kilo_system_tools
kilo_test_tools
kilo_clients "$root/.venv-clients"
kilo_peer "$root/.venv-peer"
kilo_keystone "$root/.venv-keystone"
export TEST_CLIENTS_FOLDER="$root/.venv-clients" TEST_PEER_FOLDER="$root/.venv-peer"
export TEST_KEYSTONE_FOLDER="$root/.venv-keystone"
exec "$root/.venv-test/bin/python" -m nox --no-venv ${1:+--session "$@"}
