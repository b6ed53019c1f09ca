#!/usr/bin/env bash
# What the Slurm test needs: a cluster of one node, this machine, with its daemons in the background. As root; on Debian
# it installs Slurm where it is missing. Then: SLURM_CONF=$PWD/tests/study/cluster/slurm.conf pytest -m slurm
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cluster="$PWD/cluster" node="$(hostname -s)"

if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi

mkdir -p "$cluster/state" "$cluster/spool"
cat >"$cluster/slurm.conf" <<CONF
ClusterName=freqfast
SlurmctldHost=$node(127.0.0.1)
NodeName=$node NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES State=UP
SlurmUser=root
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
CONF
export SLURM_CONF="$cluster/slurm.conf"

install -d -o munge -g munge /run/munge
pgrep -x munged >/dev/null || su munge -s /bin/sh -c /usr/sbin/munged
pgrep -x slurmctld >/dev/null || slurmctld -c
pgrep -x slurmd >/dev/null || slurmd -N "$node"
for _ in $(seq 30); do
  sinfo -h -o %T 2>/dev/null | grep -q idle && break
  sleep 1
done
sinfo
