#!/usr/bin/env bash
# unpack_rabbitmq.sh FOLDER [SUITE]: a RabbitMQ newer than this Debian has, out of packages of
# another suite (default trixie: 4.0), beside what is installed and without touching it.
#
# Erlang and the libraries it needs are unpacked into FOLDER, and its programs are told to use
# those. Works on Debian for amd64, as any user; needs apt, dpkg, a 100 MB, and
# patchelf (on the PATH or as PATCHELF). FOLDER must stay where it is. Give it to the tests as
# TEST_RABBITMQ_FOLDER.
set -euo pipefail
folder=$(realpath -m "$1")
suite=${2:-trixie}
patchelf=${PATCHELF:-patchelf}
command -v "$patchelf" >/dev/null || { echo "$0 needs patchelf" >&2; exit 1; }
[ ! -e "$folder/.suite" ] || [ "$(cat "$folder/.suite")" != "$suite" ] || exit 0

# The mirror that this machine uses for Debian itself.
mirror=$(apt-get indextargets --format '$(SITE) $(CREATED_BY) $(ORIGIN)' |
    awk '$2 == "Packages" && $3 == "Debian" && $1 !~ /security/ {print $1; exit}')
[ -n "$mirror" ] || { echo "$0 finds no Debian mirror; run apt-get update first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
touch "$work/status"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Debug::NoLocking "true";
CONF
export APT_CONFIG="$work/apt.conf"
apt-get update -qq
# Packages of the base system that maintainer scripts want come along, and are not unpacked.
apt-get install -y -qq --no-install-recommends --download-only rabbitmq-server >/dev/null

rm -rf "$folder"
mkdir -p "$folder"
for package in "$work"/cache/archives/*.deb; do
    case "${package##*/}" in
        erlang-*|rabbitmq-server_*|libc6_*|libgcc-s1_*|libstdc++6_*|libssl3*|libtinfo6_*|\
        libncurses*|zlib1g_*|libzstd1_*|libsystemd0_*|libcap2_*|libsctp1_*)
            dpkg-deb --extract "$package" "$folder" ;;
    esac
done
libraries=$folder/usr/lib/x86_64-linux-gnu
erlang=$folder/usr/lib/erlang
find "$erlang"/bin "$erlang"/erts-*/bin "$erlang"/lib/*/priv -type f -perm -u+x |
    while read -r program; do
        # Programs, not libraries: those are found by what their program says.
        "$patchelf" --print-interpreter "$program" >/dev/null 2>&1 || continue
        "$patchelf" --set-interpreter "$libraries/ld-linux-x86-64.so.2" \
            --force-rpath --set-rpath "$libraries" "$program"
    done
sed -i "s#/usr/lib/erlang#$erlang#" "$erlang/bin/erl" "$erlang/bin/start"
echo "$suite" >"$folder/.suite"
