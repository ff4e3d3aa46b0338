#!/usr/bin/env bash
# Two tasks of a step under Slurm's srun, on both backends, equal one process to 1e-5.
# Install: apt-get install slurmctld slurmd slurm-client munge. Needs root; starts a Slurm of this
# machine alone, with its files in a folder of its own, and ends it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD:$PWD/tests TF_CPP_MIN_LOG_LEVEL=2
runs=$(mktemp -d); mkdir "$runs/state" "$runs/spool"
end() { kill $(cat "$runs"/*.pid) 2> /dev/null || true; sleep 2; rm -rf "$runs"; }
trap end EXIT
host=$(hostname -s)
cat > "$runs/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$runs/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
StateSaveLocation=$runs/state
SlurmdSpoolDir=$runs/spool
SlurmctldPidFile=$runs/slurmctld.pid
SlurmdPidFile=$runs/slurmd.pid
SlurmctldLogFile=$runs/slurmctld.log
SlurmdLogFile=$runs/slurmd.log
SlurmctldPort=46817
SlurmdPort=46818
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc)
PartitionName=all Nodes=$host Default=YES State=UP OverSubscribe=FORCE
CONF
export SLURM_CONF=$runs/slurm.conf
head -c 1024 /dev/urandom > "$runs/munge.key"; chmod 400 "$runs/munge.key"
munged --force --socket="$runs/munge.socket" --key-file="$runs/munge.key" --pid-file="$runs/munged.pid" \
  --log-file="$runs/munged.log" --seed-file="$runs/munge.seed"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
srun --version
for _ in $(seq 30); do sinfo -h -o %T | grep -q idle && break; sleep 1; done
for backend in tensorflow jax; do
  export KERAS_BACKEND=$backend
  train="python train.py --recipe tests/support/noise.py:same_everywhere --timeout 120"
  $train --workdir "$runs/$backend-one" > /dev/null
  srun -n 2 --overcommit $train --workdir "$runs/$backend-two" | tee "$runs/output"
  grep -q "2 processes found by Slurm, this is process 1." "$runs/output"
  python tests/launchers/compare.py "$runs/$backend-two" "$runs/$backend-one" 1e-5
done
