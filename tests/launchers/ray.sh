#!/usr/bin/env bash
# Two CPU workers of Ray Train: equal to one process to 1e-5; with one of them killed and started
# again by Ray, to the two that nobody killed, bit for bit.
# Install: pip install "ray[train]"
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD:$PWD/tests:${PYTHONPATH:-} TF_CPP_MIN_LOG_LEVEL=2 KERAS_BACKEND=tensorflow RAY_USAGE_STATS_ENABLED=0
export RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=600  # the libraries take long to import on a machine in use
runs=$(mktemp -d); trap 'rm -rf "$runs"' EXIT
recipe=$PWD/tests/launchers/ray_recipe.py
python -c "import ray; print('Ray', ray.__version__)"
python train.py --recipe "$recipe" --workdir "$runs/one" > /dev/null
python examples/ray_train.py "$recipe" "$runs/two" > "$runs/output" 2>&1 || { tail -30 "$runs/output"; exit 1; }
grep -o "2 processes found by TF_CONFIG, this is process 1." "$runs/output" | head -1
python tests/launchers/compare.py "$runs/two" "$runs/one" 1e-5
python examples/ray_train.py "$recipe" "$runs/killed" > "$runs/output" 2>&1 & trainer=$!
until ls "$runs"/killed/checkpoints/step-*.npz > /dev/null 2>&1; do sleep 0.2; done
worker=$(pgrep -f "ray::RayTrainWorker" | tail -1)
kill -9 "$worker"; echo "killed worker $worker"
wait $trainer || { tail -30 "$runs/output"; exit 1; }
grep -o "Goes on after step .*" "$runs/output" | head -1
python tests/launchers/compare.py "$runs/killed" "$runs/two"
