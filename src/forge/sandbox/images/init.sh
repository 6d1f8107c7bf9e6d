#!/bin/sh
# Process 1 of a machine until the agent's root is there: loads the modules, finds the agent's disk,
# and hands over. `forge.debug` on the kernel's command line prints each step.

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
read -r options < /proc/cmdline
case " $options " in *" forge.debug "*) set -x ;; esac
named=
for option in $options; do
    case "$option" in forge.disk-agent=*) named=${option#*=} ;; esac
done

load() {
    while read -r module; do
        insmod "/modules/$module.ko" || echo "forge: the kernel refused the module $module"
    done < "/modules/$1"
}

load order
case " $options " in *" forge.line=vsock:"*) load vsock ;; esac

# The disk with a serial, unless the host named its device: not every VMM can give it one.
find_disk() {
    if [ -n "$named" ]; then
        disk=/dev/$named
        [ -b "$disk" ]
        return
    fi
    for entry in /sys/block/vd*; do
        serial=
        read -r serial 2> /dev/null < "$entry/serial"
        if [ "$serial" = "$1" ]; then
            disk=/dev/${entry##*/}
            [ -b "$disk" ] && return 0
        fi
    done
    return 1
}

# Loading virtio_blk finds the disks before it returns; the tries are for a host that is very slow.
tries=0
until find_disk forge-agent; do
    tries=$((tries + 1))
    if [ "$tries" -gt 500 ]; then
        echo "forge: there is no disk ${named:-with the serial forge-agent}"
        exit 1
    fi
    usleep 10000
done

mount -t "$(cat /root-kind)" -o ro "$disk" /agent || exit 1
mount --move /proc /agent/proc
mount --move /sys /agent/sys
mount --move /dev /agent/dev
exec switch_root /agent /opt/forge/start
