#!/bin/sh
# Makes a Linux virtual machine with Lima, `forge-worker`, and Forge in it, for machines on a Mac.
# Says what it does and does nothing that is already done. Not verified on hardware.
# With --dry-run it says what it would do, on any system, and does nothing.
set -eu

NAME=forge-worker
DRY_RUN=""
[ "${1:-}" != --dry-run ] || DRY_RUN=yes

say() {
    printf 'setup: %s\n' "$*"
}

run() {
    if [ -n "$DRY_RUN" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

check() {
    if [ "$(uname -s)" != Darwin ]; then
        say "this is not macOS"
        [ -n "$DRY_RUN" ] || exit 3
    elif [ "$(uname -m)" = arm64 ]; then
        say "Apple silicon: the Linux is emulated, and its machines again; expect them to be slow"
    fi
    if ! command -v limactl > /dev/null; then
        say "Lima is missing. Install it, for example with: brew install lima qemu"
        [ -n "$DRY_RUN" ] || exit 3
    fi
}

has_instance() {
    command -v limactl > /dev/null && limactl list --quiet 2> /dev/null | grep -qx "$NAME"
}

start() {
    if has_instance; then
        run limactl start --tty=false "$NAME"
    else
        run limactl start --tty=false --name="$NAME" scripts/macos/forge-worker.yaml
    fi
}

copy_checkout() {
    if [ -n "$DRY_RUN" ]; then
        say "would copy this checkout's last commit into $NAME, to ~/forge"
        return
    fi
    git archive --format=tar HEAD |
        limactl shell --workdir=/ "$NAME" -- sh -c 'mkdir -p ~/forge && tar -x -C ~/forge'
}

cd "$(dirname "$0")/../.."
check
start
copy_checkout
# The quotes are for the shell there, whose home it is.
# shellcheck disable=SC2016
run limactl shell --workdir=/ "$NAME" -- sh -c '"$HOME"/forge/scripts/linux/setup.sh'
say "done. Put this into your shell's profile:"
say "  export FORGE_SANDBOX=worker"
say "  export FORGE_WORKER='limactl shell --workdir=/ $NAME -- forge microvm serve'"
