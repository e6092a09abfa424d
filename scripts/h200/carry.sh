#!/usr/bin/env bash
# Put what a script needs into .h200 (ignored by git): data packs, and the commit.
#
#   scripts/h200/carry.sh with         # 02-mlstm.sh, text with opinions: about 61 MiB
#   scripts/h200/carry.sh without      # 02-mlstm.sh --corpus without: about 32 MiB
#   scripts/h200/carry.sh transfer     # 03-dcgan.sh --jobs transfer: about 55 MiB
#   scripts/h200/carry.sh faces        # 03-dcgan.sh --jobs faces,digits: about 32 MiB
#   scripts/h200/carry.sh guidelines   # 04-guidelines.sh: about 18 MiB
#
# RADFORD_DATA names the folder of packs. Then let the checkout travel with .h200 in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
case "${1:-}" in
with) packs="amazon imdb-unsup sst2 imdb" ;;
without) packs="books sst2 imdb" ;;
transfer) packs="tiny-imagenet32 cifar10" ;;
faces) packs="celeba mnist" ;;
guidelines) packs="cifar10" ;;
*)
    echo "usage: $0 with | without | transfer | faces | guidelines" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086  # several words are meant
PYTHONPATH="$PWD" "${PYTHON:-python3}" -m radford_lib.experiments.carry .h200 $packs
