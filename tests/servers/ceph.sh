#!/usr/bin/env bash
# A Ceph RADOS Gateway on 127.0.0.1, from Debian's packages, without systemd:
#
#     ceph.sh start FOLDER [STORE]    one monitor, one OSD, one gateway; prints ENDPOINT, ACCESS_KEY, SECRET_KEY
#     ceph.sh kill FOLDER NAME…       mon, osd, rgw: with SIGKILL
#     ceph.sh revive FOLDER NAME…     begins again what was killed, with what it had on disk
#     ceph.sh stop FOLDER             ends what FOLDER/*.pid name, and nothing else
#
# STORE is memstore, which is all in memory, or bluestore, which a killed OSD finds again. Ports are free ones, keys are
# random, state is in FOLDER. The packages are installed where they are missing.
set -eEuo pipefail

folder=$(realpath -m "${2:?FOLDER}")
conf=$folder/ceph.conf

write_conf() {
    local fsid=$1 store=$2 mon2=$3 mon1=$4 rgw=$5
    cat >"$conf" <<X
[global]
fsid = $fsid
mon initial members = a
mon host = [v2:127.0.0.1:$mon2,v1:127.0.0.1:$mon1]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = $folder/keyring
auth allow insecure global id reclaim = false
run dir = $folder/run
admin socket = $folder/run/\$cluster-\$name.asok
log file = $folder/\$name.log
mon cluster log file = $folder/cluster.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail warn = 2
mon data avail crit = 1
osd crush chooseleaf type = 0
osd objectstore = $store
bluestore block size = 4294967296
memstore device bytes = 4294967296
[mon]
mon data = $folder/mon
mgr initial modules =
[osd]
osd data = $folder/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$rgw
rgw dns name = localhost
rgw crypt require ssl = false
rgw enable usage log = false
rgw thread pool size = 64
# A gateway that dies while it completes an upload keeps others from it for so long, in seconds: 600 where nobody says.
rgw mp lock max time = 5
X
}

write_keys() {
    local entity all=(--cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *')
    ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    for entity in client.admin client.rgw; do
        ceph-authtool "$folder/keyring" --gen-key -n "$entity" "${all[@]}" >/dev/null
    done
    ceph-authtool "$folder/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' \
        --cap mgr 'allow profile osd' >/dev/null
}

begin() { # NAME, and return once it serves
    local name=$1 command
    case $name in
    mon) command=(ceph-mon -c "$conf" -f -i a) ;;
    osd) command=(ceph-osd -c "$conf" -f -i 0) ;;
    rgw) command=(radosgw -c "$conf" -f -n client.rgw) ;;
    *) echo "ceph.sh: no such daemon: $name" >&2; return 2 ;;
    esac
    setsid nohup "${command[@]}" >>"$folder/$name.out" 2>&1 </dev/null &
    echo $! >"$folder/$name.pid"
    case $name in
    mon) wait_for 60 has_listener "$(<"$folder/mon.port")" ;;
    osd) wait_for 60 has_osd ;;
    rgw) wait_for 180 has_listener "$(<"$folder/rgw.port")" ;;
    esac
}

wait_for() { # SECONDS COMMAND…
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "ceph.sh: not ready: $*" >&2; tail -n 20 "$folder"/*.out >&2; return 1; }
        sleep 0.1
    done
}

has_listener() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
has_osd() { timeout 10 ceph -c "$conf" osd stat | grep -q '1 up'; }

start() {
    local fsid osd mon2 mon1 rgw
    rm -rf "${folder:?}"/{mon,osd,run,keyring,*.pid}
    mkdir -p "$folder"/{mon,osd,run}
    bash "$(dirname "$0")/install-packages.sh" ceph-mon ceph-osd radosgw ceph-common >>"$folder/apt.log" 2>&1
    read -r mon2 mon1 rgw < <(python3 "$(dirname "$0")/free_ports.py" 3)
    fsid=$(cat /proc/sys/kernel/random/uuid)
    osd=$(cat /proc/sys/kernel/random/uuid)
    echo "$mon2" >"$folder/mon.port"
    echo "$rgw" >"$folder/rgw.port"
    write_conf "$fsid" "$1" "$mon2" "$mon1" "$rgw"
    write_keys
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon2,v1:127.0.0.1:$mon1]" --clobber \
        "$folder/monmap" >/dev/null
    ceph-mon -c "$conf" --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring" >>"$folder/mon.out" 2>&1
    begin mon
    timeout 60 ceph -c "$conf" osd new "$osd" >/dev/null
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" >>"$folder/osd.out" 2>&1
    begin osd
    begin rgw
    local access secret
    access=$(head -c 10 /dev/urandom | od -An -tx1 | tr -d ' \n')
    secret=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
    radosgw-admin -c "$conf" -n client.rgw user create --uid=test --display-name=test \
        --access-key="$access" --secret="$secret" >"$folder/user.json" 2>>"$folder/admin.out"
    printf 'ENDPOINT=http://127.0.0.1:%s\nACCESS_KEY=%s\nSECRET_KEY=%s\n' "$rgw" "$access" "$secret"
}

# A process lets go of its ports with the last of its threads; what its parent has not waited for yet is a zombie of one.
is_gone() { # PID
    ! grep -qsE '^(State:.[^ZX]|Threads:.([2-9]|1[0-9]))' "/proc/$1/status"
}

pids() { # what is to be ended first comes first
    local name
    for name in rgw osd mon; do
        [ ! -f "$folder/$name.pid" ] || cat "$folder/$name.pid"
    done
}

stop() {
    local pid alive
    for pid in $(pids); do kill -TERM "$pid" 2>/dev/null || true; done
    for _ in $(seq 100); do
        alive=0
        for pid in $(pids); do is_gone "$pid" || alive=1; done
        [ $alive = 0 ] && break
        sleep 0.05
    done
    for pid in $(pids); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -f "$folder"/*.pid
}

case ${1:-} in
start) trap stop ERR; start "${3:-memstore}" ;;
kill)
    for name in "${@:3}"; do
        pid=$(<"$folder/$name.pid")
        kill -KILL "$pid"
        rm "$folder/$name.pid"
        until is_gone "$pid"; do sleep 0.02; done
    done
    ;;
revive) for name in "${@:3}"; do begin "$name"; done ;;
stop) stop ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
