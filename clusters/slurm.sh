#!/bin/bash
# Run one raytl command on its own Ray cluster, as a Slurm job.
#
#   sbatch --nodes=4 clusters/slurm.sh train experiments/trash-mobilenetv2.yaml --set compute.workers=4 \
#     --set storage.uri=/shared/runs
#
# To change: the #SBATCH lines, CACHE (local disk of a node), and how `raytl` gets into PATH. Data and runs must be in a bucket
# or in a directory that all nodes mount. Before its time limit, or when it is preempted, the job requeues itself and later
# resumes from its last checkpoint. The job creates its own token, in a file that only you can read.
#SBATCH --job-name=raytl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

export RAYTL_CACHE=${CACHE:-${TMPDIR:-/tmp}/raytl-cache-$USER}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.raytl-slurm/$SLURM_JOB_ID.token
export RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:9 RAY_LD_PRELOAD_ON_WORKERS=1 RAY_worker_niceness=0
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # all nodes stop together, so draining is useless

# This job's own ports, because other jobs may share its nodes; a short path for Ray's files, because it holds sockets, below a
# directory that only you can enter, because Ray makes its own writable for everybody.
port=$((20000 + SLURM_JOB_ID % 600 * 20))
scratch=/tmp/ray-$SLURM_JOB_ID
# shellcheck disable=SC2016 # expanded on the node
private='mkdir "$0" 2> /dev/null || { [ -O "$0" ] && [ ! -L "$0" ]; } || { echo "slurm.sh: $0 is not yours" >&2; exit 1; }
  chmod 700 "$0" && exec "$@"'
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
steps=()
command=

finish() {
  trap - EXIT
  if ((${#steps[@]})); then
    kill "${steps[@]}" 2> /dev/null && wait "${steps[@]}" 2> /dev/null || true
    timeout 30 srun --nodes="${#nodes[@]}" --ntasks-per-node=1 --overlap rm -rf "$scratch" || true
  fi
  rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap finish EXIT

requeue() {
  trap '' USR1
  echo "slurm.sh: preempted or out of time; requeueing to resume from the last checkpoint"
  if [ -n "$command" ]; then
    kill "$command" && wait "$command" || true
  fi
  finish
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}
trap requeue USR1

mkdir -p "${RAY_AUTH_TOKEN_PATH%/*}"
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")

# Start Ray on one node for the duration of the step. The node's number separates the ports of nodes on one machine.
start() {
  local number=$1 node=$2
  shift 2
  srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" bash -c "$private" "$scratch" ray start "$@" --block \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
    --dashboard-agent-listen-port=$((port + number % 4 * 4 + 4)) --dashboard-agent-grpc-port=$((port + number % 4 * 4 + 5)) \
    --metrics-export-port=$((port + number % 4 * 4 + 6)) > /dev/null &
  steps+=($!)
}

address=$(srun --nodes=1 --ntasks=1 --overlap --nodelist="${nodes[0]}" hostname -I | awk '{print $1}'):$port
start 0 "${nodes[0]}" --head --port="$port" --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)) \
  --ray-client-server-port=$((port + 2)) --temp-dir="$scratch/r" --disable-usage-stats
until ray health-check --address "$address" > /dev/null 2>&1; do
  kill -0 "${steps[0]}" || { echo "slurm.sh: the head exited" >&2 && exit 1; }
  sleep 1
done

for ((number = 1; number < ${#nodes[@]}; number++)); do
  start "$number" "${nodes[number]}" --address="$address"
done

# wait for all nodes, because raytl plans with the nodes that exist
export RAY_ADDRESS=$address
timeout 400 python - "${#nodes[@]}" << 'PYTHON' || { echo "slurm.sh: the cluster did not start" >&2 && exit 1; }
import logging
import sys
import time

import ray

ray.init(log_to_driver=False, logging_level=logging.ERROR)
deadline = time.monotonic() + 300
while (alive := sum(node["Alive"] for node in ray.nodes())) < int(sys.argv[1]):
    if time.monotonic() > deadline:
        sys.exit(f"slurm.sh: {alive} of {sys.argv[1]} nodes joined the cluster in 300 s")
    time.sleep(1)
PYTHON

raytl "$@" --set compute.cluster=auto &
command=$!
wait "$command"
