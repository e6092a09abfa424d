# What the scripts of this folder share; sourced by them. Sets $out, and the data that was carried.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out="${OUT:-out}"
mkdir -p "$out"
export OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PYTHONPATH="$PWD"
export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-$PWD/runs/triton}"
if [ -d .h200 ]; then
    # made by carry.sh where the data are; the machine has no repository to ask for the commit
    export RADFORD_DATA="${RADFORD_DATA:-$PWD/.h200}"
    export RADFORD_COMMIT="${RADFORD_COMMIT:-$(cat .h200/commit)}"
fi

# experiment LOG MODULE ARGUMENTS...
experiment() {
    local log="$1" module="$2"
    shift 2
    "${PYTHON:-python3}" -m "radford_lib.experiments.$module" --out "$out" "$@" 2>&1 | tee "$out/$log"
}
