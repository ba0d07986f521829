#!/usr/bin/env bash
set -euo pipefail

FOLDER=/var/lib/one-machine-slurm
NODES=1
GPUS=0
PORT=6817
LINK=/run/slurm/conf

usage() {
    cat <<EOF
usage: one_machine.sh [options] start | stop | status

A Slurm cluster on this machine, to try jobs on (docs/cluster.md): the munged, slurmctld and slurmd of Debian or
Ubuntu. Needs root, but neither systemd nor cgroups, so a container will do. All that it writes lies in one folder;
while the cluster runs, /run/slurm/conf is a link to it, by which commands and jobs find the cluster.

  start     install what is missing (apt-get), write the configuration, start the daemons, wait for the nodes
  stop      cancel all jobs, end the daemons
  status    show nodes and jobs; the exit status is 0 if the cluster answers

  --folder DIR    configuration, key, state and logs (default: $FOLDER)
  --nodes N       nodes, each a slurmd with its share of the CPUs and the memory (default: $NODES)
  --gpus N        GPUs that each node claims, with no device behind them: to try what jobs ask for (default: $GPUS)
  --port N        the first of the ports: slurmctld listens there, the nodes on those that follow (default: $PORT)
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
}

install_packages() {
    if command -v munged && command -v slurmctld && command -v slurmd && command -v squeue; then return; fi > /dev/null
    command -v apt-get > /dev/null || fail "neither slurmctld nor apt-get: install munge, slurmctld, slurmd first"
    echo "installing munge, slurmctld, slurmd and slurm-client"
    apt-get update --quiet=2
    # Packages start no services at runlevel 1: the daemons here are started below, with a configuration of their own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        munge slurmctld slurmd slurm-client > /dev/null
}

write_configuration() {
    local host cpus memory gres= i
    host=$(hostname --short)
    cpus=$(($(nproc) / NODES))
    memory=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10 / NODES))
    ((cpus > 0)) || cpus=1
    mkdir -p "$FOLDER/state"
    chmod 755 "$FOLDER"
    if [[ ! -e $FOLDER/munge.key ]]; then
        (umask 377 && head -c 1024 /dev/urandom > "$FOLDER/munge.key")
    fi
    if ((GPUS > 0)); then
        gres="Gres=gpu:$GPUS"
        # A GPU must have a file; without cgroups nothing is done with it.
        for ((i = 0; i < GPUS; i++)); do touch "$FOLDER/gpu$i"; done
        echo "NodeName=node[1-$NODES] Name=gpu File=$FOLDER/gpu[0-$((GPUS - 1))]" > "$FOLDER/gres.conf"
    else
        : > "$FOLDER/gres.conf"
    fi
    # linuxproc follows a job's processes by their parents and sees them all, without cgroups.
    cat > "$FOLDER/slurm.conf" <<EOF
ClusterName=one-machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CredType=cred/munge
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool.%n
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.%n.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
GresTypes=gpu
NodeName=node[1-$NODES] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((PORT + 1))-$((PORT + NODES))] CPUs=$cpus RealMemory=$memory $gres
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
}

running() { # PIDFILE
    [[ -s $1 ]] && kill -0 "$(< "$1")" 2> /dev/null
}

end() { # PIDFILE
    running "$1" || return 0
    kill "$(< "$1")"
    for _ in {1..100}; do
        running "$1" || return 0
        sleep 0.1
    done
    kill -KILL "$(< "$1")"
}

start() {
    ((EUID == 0)) || fail "start: must be run as root"
    ! running "$FOLDER/slurmctld.pid" || fail "start: a cluster runs in $FOLDER already; stop it first"
    for other in "${SLURM_CONF:-}" /etc/slurm/slurm.conf "$LINK"; do
        [[ -z $other || ! -e $other ]] || fail "start: $other: this machine has a cluster already"
    done
    export SLURM_CONF=$FOLDER/slurm.conf
    install_packages
    write_configuration
    mkdir -p "$(dirname "$LINK")"
    ln --symbolic --force --no-dereference "$FOLDER" "$LINK"
    munged --key-file="$FOLDER/munge.key" --socket="$FOLDER/munge.socket" --pid-file="$FOLDER/munged.pid" \
        --log-file="$FOLDER/munged.log" --seed-file="$FOLDER/munged.seed"
    slurmctld -c -f "$SLURM_CONF"
    for ((i = 1; i <= NODES; i++)); do
        mkdir -p "$FOLDER/spool.node$i"
        slurmd -f "$SLURM_CONF" -N "node$i"
    done
    for _ in {1..60}; do
        if [[ $(sinfo --noheader --states=idle --format=%D 2> /dev/null) == "$NODES" ]]; then
            sinfo --Node --format="%N: %c CPUs, %m MB, %G, %t" --noheader
            echo "logs: $FOLDER/slurmctld.log, $FOLDER/slurmd.node*.log"
            return
        fi
        sleep 0.5
    done
    tail -n 5 "$FOLDER"/*.log >&2
    fail "start: the nodes did not come up; the ends of the logs are above"
}

stop() {
    export SLURM_CONF=$FOLDER/slurm.conf
    if running "$FOLDER/slurmctld.pid"; then
        squeue --noheader --format=%A | sort -u | xargs --no-run-if-empty scancel
        for _ in {1..60}; do
            [[ -n $(squeue --noheader 2> /dev/null) ]] || break
            sleep 1
        done
    fi
    for pid in "$FOLDER"/slurmd.*.pid "$FOLDER/slurmctld.pid" "$FOLDER/munged.pid"; do
        end "$pid"
    done
    [[ $(readlink "$LINK") != "$FOLDER" ]] || rm "$LINK"
}

status() {
    running "$FOLDER/slurmctld.pid" || fail "status: no cluster runs in $FOLDER"
    export SLURM_CONF=$FOLDER/slurm.conf
    sinfo
    squeue
}

command=
while (($# > 0)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --folder) FOLDER=$(realpath --canonicalize-missing "${2:?--folder: needs a folder}") && shift ;;
        --nodes) NODES=${2:?--nodes: needs a number} && shift ;;
        --gpus) GPUS=${2:?--gpus: needs a number} && shift ;;
        --port) PORT=${2:?--port: needs a number} && shift ;;
        start | stop | status) command=$1 ;;
        *) fail "$1: unknown; see --help" ;;
    esac
    shift
done
[[ $NODES =~ ^[1-9][0-9]*$ && $GPUS =~ ^[0-9]+$ && $PORT =~ ^[0-9]+$ ]] || fail "--nodes, --gpus, --port: need numbers"
${command:-usage}
