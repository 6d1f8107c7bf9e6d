#!/bin/sh
# Makes this Linux a host for machines, its own or another Forge's: system packages, Python's, the
# image, and `forge` where a login without a terminal finds it. Ends with what this host can do.
# With --dry-run it says what it would do, and does nothing.
set -eu

LINK=/usr/local/bin/forge

say() {
    printf 'setup: %s\n' "$*"
}

link_forge() {
    if [ "$(readlink "$LINK" 2> /dev/null || true)" = "$PWD/.venv/bin/forge" ]; then
        say "$LINK is there already"
    elif [ -e "$LINK" ]; then
        say "$LINK is something else and is left alone; a worker is $PWD/.venv/bin/forge"
    elif [ -w "$(dirname "$LINK")" ]; then
        ln -s "$PWD/.venv/bin/forge" "$LINK"
    elif command -v sudo > /dev/null; then
        sudo ln -s "$PWD/.venv/bin/forge" "$LINK"
    else
        say "to find forge over ssh run, as root: ln -s $PWD/.venv/bin/forge $LINK"
    fi
}

cd "$(dirname "$0")/../.."
if [ "${1:-}" = --dry-run ]; then
    scripts/setup-debian.sh --dry-run
    say "would install the locked Python packages into .venv (make setup)"
    say "would build the image where it is missing (make image)"
    say "would link $LINK to $PWD/.venv/bin/forge"
    say "would say what this host can do (forge microvm probe)"
    exit 0
fi
make setup
make image
link_forge
.venv/bin/forge microvm probe
say "from another computer: FORGE_SANDBOX=worker FORGE_WORKER='ssh -T HOST forge microvm serve'"
