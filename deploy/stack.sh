#!/usr/bin/env bash
# Installs Kilostack from this checkout and runs the all-in-one stack in the foreground.
# Everything after the name of the script goes to `kilostack up` (--help shows the options).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
. deploy/environment.sh

kilo_venv "$root/.venv" "" # only what running needs
kilo_system_tools
# The start time that is printed counts from here.
if [ -r /proc/uptime ]; then
    read -r KILOSTACK_REPLACED_AT _ </proc/uptime
    export KILOSTACK_REPLACED_AT
fi
exec "$root/.venv/bin/kilostack" up "$@"
