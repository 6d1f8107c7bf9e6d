#!/bin/sh
# Installs what Forge needs on Debian (12 or later): the programs that build images and run machines,
# and uv in `.tools/`, where the Makefile looks for it. Says what it does, asks nothing, and does
# nothing that is already done. On another system it says what to install and ends with code 3. With
# --dry-run it says what it would do, and does nothing.
set -eu

UV_VERSION=0.13.9

# chromium, openssh-server and postgresql are for the tests, which start their own; see mask_sshd and
# keep_postgresql_empty.
PACKAGES="buildah busybox-static ca-certificates chromium e2fsprogs git mmdebstrap openssh-client \
openssh-server postgresql python3 python3-venv qemu-system-x86 shellcheck skopeo squashfs-tools uidmap util-linux"

DRY_RUN=""
[ "${1:-}" != --dry-run ] || DRY_RUN=yes

say() {
    printf 'setup: %s\n' "$*"
}

elsewhere() {
    say "this is not Debian or a relative of it with apt. Install, with its own tools:"
    say "  QEMU (qemu-system-x86_64), mmdebstrap, apt, squashfs-tools 4.5 or later, e2fsprogs 1.47 or"
    say "  later, newuidmap (uidmap or shadow-utils), util-linux, git, CA certificates, skopeo, buildah,"
    say "  PostgreSQL's server programs and Chromium (for the tests),"
    say "  Python 3.11 or later with venv, and uv."
    exit 3
}

is_installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

install_packages() {
    missing=""
    for package in $PACKAGES; do
        is_installed "$package" || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        say "every Debian package is there already"
        return
    fi
    become_root=""
    if [ "$(id -u)" -ne 0 ] && [ -z "$DRY_RUN" ]; then
        if ! command -v sudo > /dev/null; then
            say "these packages are missing, and installing them needs root. Run, as root:"
            say "  apt-get update && apt-get install --no-install-recommends$missing"
            exit 1
        fi
        become_root="sudo"
    fi
    if [ -n "$DRY_RUN" ]; then
        say "would install Debian packages:$missing"
        return
    fi
    case "$missing" in *openssh-server*) mask_sshd ;; esac
    case "$missing" in *postgresql*) keep_postgresql_empty ;; esac
    say "installing Debian packages:$missing"
    # shellcheck disable=SC2086  # a list of words, on purpose
    $become_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    # shellcheck disable=SC2086
    $become_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing
}

# Debian starts a server as it installs it. Nobody asked for a way into this computer, so the service
# is masked first, and stays so until its owner wants it.
mask_sshd() {
    [ -d /etc/systemd/system ] || return 0
    say "masking the system's ssh service: only tests use sshd (undo: systemctl unmask ssh)"
    for unit in ssh.service ssh.socket; do
        [ -e "/etc/systemd/system/$unit" ] || $become_root ln -s /dev/null "/etc/systemd/system/$unit"
    done
}

# Debian also makes and starts a database server as it installs the programs, which its own
# configuration can forbid.
keep_postgresql_empty() {
    folder=/etc/postgresql-common/createcluster.d
    [ ! -e /etc/postgresql-common ] || return 0
    say "asking Debian for PostgreSQL's programs without a server (undo: remove $folder/forge.conf)"
    $become_root mkdir -p "$folder"
    echo 'create_main_cluster = false' | $become_root tee "$folder/forge.conf" > /dev/null
}

install_uv() {
    if [ -x .tools/bin/uv ]; then
        say "uv is in .tools already ($(.tools/bin/uv --version))"
    elif command -v uv > /dev/null; then
        say "uv is on your PATH already ($(uv --version))"
    elif [ -n "$DRY_RUN" ]; then
        say "would install uv $UV_VERSION into .tools"
    else
        say "installing uv $UV_VERSION into .tools"
        python3 -m venv .tools
        .tools/bin/pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
}

check_namespaces() {
    [ "$(id -u)" -ne 0 ] || return 0
    if ! unshare --map-root-user true 2> /dev/null; then
        say "this host forbids user namespaces, so images can only be built as root here"
    elif ! grep -q "^$(id -un):" /etc/subuid 2> /dev/null; then
        say "you have no range of subordinate user ids, which building images without root needs."
        say "  Run, as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    fi
}

cd "$(dirname "$0")/.."
if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    elsewhere
fi
install_packages
install_uv
check_namespaces
say "done"
