#!/bin/sh
# Finishes a template's root, "$1", after Debian's packages and the overlay are in it. mmdebstrap
# runs this as the root of the new tree, with /proc, /sys and /dev mounted inside it.
set -eu
cd "$1"
chmod 755 .
packages=usr/local/lib/python3.11/dist-packages

echo 'user:x:1000:1000::/home/user:/bin/bash' >> etc/passwd
echo 'user:x:1000:' >> etc/group
echo 'user:*:19000:0:99999:7:::' >> etc/shadow
chmod 600 etc/shadow
mkdir -p home/user
chown 1000:1000 home/user

# The host's own name and resolvers were copied in for the installation; they are not ours to keep.
echo forge > etc/hostname
echo '127.0.0.1 localhost forge' > etc/hosts
rm -f etc/resolv.conf
echo '# This machine has no network.' > etc/resolv.conf
: > etc/machine-id
# The mirrors are the host's own, and their addresses may carry its credentials.
rm -rf etc/apt etc/dpkg/dpkg.cfg.d/99mmdebstrap

if [ -d "$packages" ]; then
    rm -rf "$packages/bin" "$packages/share"
    find "$packages" -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +
    find "$packages" -type f \
        \( -name '*.pyi' -o -name '*.a' -o -name '*.pyx' -o -name '*.pxd' \) -delete
    # They hash the scripts of the host's interpreter, and differ from build to build.
    rm -f "$packages"/*.dist-info/RECORD
fi
while read -r pattern; do
    # shellcheck disable=SC2086  # the pattern is meant to expand; the recipe's reader checked it
    rm -rf -- $pattern
done < .forge/remove

if [ -x usr/bin/python3 ]; then
    ln -sf python3 usr/bin/python
    chroot . python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /usr/lib/python3 /usr/lib/python3.11 /usr/local/lib/python3.11 ||
        echo 'finish.sh: what does not compile stays as source' >&2
    while read -r module; do
        # A fixed hash seed, so that sets are written in the same order each time.
        chroot --userspec=1000:1000 . env -i HOME=/home/user PATH=/usr/bin:/bin LANG=C.UTF-8 \
            PYTHONHASHSEED=0 python3 -c "import $module"
    done < .forge/caches
fi
chroot . ldconfig
rm -rf .forge var/cache/* var/log/* var/lib/apt/lists
