# Shared by stack.sh and test.sh: virtual environments and system tools. Sourced, not run.

# Compiled modules halve the start time, whatever the shell's environment says.
unset PYTHONDONTWRITEBYTECODE

kilo_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Kilostack needs Python 3.11 or newer with its venv module; set PYTHON to one." >&2
    return 1
}

# kilo_venv FOLDER EXTRAS: an environment with this checkout installed editable, in the versions
# that were tested. Nothing is done when the environment is newer than what it is made from.
kilo_venv() {
    local folder=$1 extras=$2 python
    if [ -e "$folder/.installed" ] && [ ! pyproject.toml -nt "$folder/.installed" ] &&
        [ ! constraints.txt -nt "$folder/.installed" ]; then
        return
    fi
    python=$(kilo_python)
    echo "Installing Kilostack into ${folder##*/} …" >&2
    "$python" -m venv "$folder"
    local tested=()
    [ ! -e constraints.txt ] || tested=(--constraint constraints.txt)
    kilo_pip "$folder" "${tested[@]}" --editable ".${extras:+[$extras]}"
    touch "$folder/.installed"
}

# kilo_clients FOLDER: today's OpenStack clients in an environment of their own.
kilo_clients() {
    kilo_foreign "$1" tests/clients.txt "the OpenStack clients"
}

# kilo_peer FOLDER: oslo.messaging, which the bus must be able to talk to, in one of its own.
kilo_peer() {
    kilo_foreign "$1" tests/interop/requirements.txt "oslo.messaging"
}

# kilo_keystone FOLDER: a real Keystone, whose tokens the services must understand.
kilo_keystone() {
    kilo_foreign "$1" tests/peers/keystone.txt "Keystone"
}

# kilo_foreign FOLDER REQUIREMENTS WHAT: an environment without this checkout.
kilo_foreign() {
    local folder=$1 requirements=$2 what=$3
    if [ -e "$folder/.installed" ] && [ ! "$requirements" -nt "$folder/.installed" ]; then
        return
    fi
    echo "Installing $what into ${folder##*/} …" >&2
    "$(kilo_python)" -m venv "$folder"
    kilo_pip "$folder" --requirement "$requirements"
    touch "$folder/.installed"
}

kilo_pip() {
    local folder=$1
    shift
    local log="$folder/pip.log"
    if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "pip could not install what is needed; the lines above say why." >&2
        return 1
    fi
}

# System tools that features rest on. As root on a Debian system they are installed; otherwise the
# stack says which feature is off and how to get it.
kilo_system_tools() {
    kilo_packages "image conversion is off" qemu-img:qemu-utils
}

# Tools that make what the tests look at.
kilo_test_tools() {
    kilo_packages "tests that need them are skipped, and fail on CI" mkfs.ext4:e2fsprogs \
        mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.vfat:dosfstools mkntfs:ntfs-3g \
        sfdisk:fdisk cryptsetup:cryptsetup-bin genisoimage:genisoimage \
        chromium:chromium
}

# kilo_packages WITHOUT PROGRAM:PACKAGE…: install the packages whose programs are missing; WITHOUT
# says what follows where that is not possible.
kilo_packages() {
    local without=$1 each missing=()
    shift
    for each in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${each%%:*}" >/dev/null || missing+=("${each#*:}")
    done
    if [ ${#missing[@]} = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    echo "Installing ${missing[*]} …" >&2
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1; then
        echo "${missing[*]} could not be installed: $without." >&2
    fi
}
