#!/usr/bin/env bash
# Check and time the GPU kernels in one call; results in $OUT (default ./out), a short table last.
#
#   scripts/h200/01-kernels.sh --limit 170 --only check,mlstm    # are they right, how fast do we train
#   scripts/h200/01-kernels.sh --limit 540                       # and tiles, and others' ways
#   scripts/h200/01-kernels.sh --device cpu --quick              # the same way, at toy sizes
#
# Stops itself before --limit seconds (540 without it). Rows already in $OUT/h200_kernels.json, or
# in the file that --resume names, are not measured again on the same card.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-out}"
mkdir -p "$out"
export OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PYTHONPATH="$PWD"
export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-$PWD/runs/triton}"
"${PYTHON:-python3}" -m benchmarks.h200_kernels --out "$out" "$@" 2>&1 | tee "$out/h200_kernels.log"
