#!/usr/bin/env bash
# Two hosts on one network, as network namespaces of this machine, whose address there is 10.213.77.1:
#
#     two-hosts.sh start NAME         makes the hosts NAME-a (10.213.77.2) and NAME-b (10.213.77.3)
#     two-hosts.sh run HOST CMD ARG…  runs CMD on that host, with a /mnt of its own
#     two-hosts.sh stop NAME          removes both, and nothing else
#
# Needs root. Debian's iproute2 is installed where it is missing. NAME has at most 8 characters.
set -eEuo pipefail

stop() {
    local name=$1 host
    for host in a b; do
        ip netns del "$name-$host" 2>/dev/null || true
    done
    ip link del "br-$name" 2>/dev/null || true
}

start() {
    local name=$1 host number=2
    stop "$name"
    trap 'stop "$name"' ERR
    ip link add "br-$name" type bridge
    ip addr add 10.213.77.1/24 dev "br-$name"
    ip link set "br-$name" up
    for host in a b; do
        ip netns add "$name-$host"
        ip link add "v$host-$name" type veth peer name eth0 netns "$name-$host"
        ip link set "v$host-$name" master "br-$name"
        ip link set "v$host-$name" up
        ip -n "$name-$host" addr add "10.213.77.$number/24" dev eth0
        ip -n "$name-$host" link set lo up
        ip -n "$name-$host" link set eth0 up
        number=$((number + 1))
    done
}

command -v ip > /dev/null || bash "$(dirname "$0")/install-packages.sh" iproute2 >&2
case $1 in
start) start "$2" ;;
stop) stop "$2" ;;
run)
    host=$2
    shift 2
    # shellcheck disable=SC2016
    exec ip netns exec "$host" bash -c 'mount -t tmpfs none /mnt && exec "$@"' -- "$@"
    ;;
*)
    echo "two-hosts.sh start|stop NAME, or run HOST CMD ARG…" >&2
    exit 2
    ;;
esac
