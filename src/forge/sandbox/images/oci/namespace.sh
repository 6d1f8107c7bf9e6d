#!/bin/sh
# namespace.sh NETWORK FIRST_UID FIRST_GID COUNT PROGRAM...
# Runs a program as the root of namespaces that hold nothing of this host's: user ids that are
# nobody's, its own processes, mounts and devices, and no network unless NETWORK is `network`.
set -eu
network=$1 uid=$2 gid=$3 count=$4
shift 4
seen=--net
[ "$network" = network ] && seen=

# The namespace must be mapped from outside before anyone enters it, so someone holds it open.
exec 3<&0 # a background job's own input would be empty
unshare --user sleep 60 3<&- &
holder=$!
child=
end() {
    kill -9 "$holder" $child 2> /dev/null || true
}
trap end EXIT
trap 'end; exit 143' TERM INT HUP
tries=0
while [ "$(readlink "/proc/$holder/ns/user")" = "$(readlink /proc/self/ns/user)" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || { echo "namespace.sh: this host forbids user namespaces" >&2; exit 125; }
    sleep 0.01
done
if [ "$(id -u)" -eq 0 ]; then
    echo "0 $uid $count" > "/proc/$holder/uid_map"
    echo "0 $gid $count" > "/proc/$holder/gid_map"
else
    newuidmap "$holder" 0 "$uid" "$count"
    newgidmap "$holder" 0 "$gid" "$count"
fi
inside='
    new=$(mktemp -d) && mount -t tmpfs -o mode=755,size=1m tmpfs "$new"
    for name in null zero full random urandom; do
        : > "$new/$name" && mount --bind "/dev/$name" "$new/$name"
    done
    mkdir "$new/shm" && ln -s /proc/self/fd "$new/fd"
    mount --rbind "$new" /dev
    umask 022
    cd / && exec "$@"
'
# shellcheck disable=SC2086  # $seen is an option or nothing
nsenter --target "$holder" --user --setuid 0 --setgid 0 \
    unshare $seen --pid --fork --kill-child --mount --ipc --uts sh -euc "$inside" inside "$@" \
    <&3 3<&- &
child=$!
wait "$child" && code=0 || code=$?
child=
exit "$code"
