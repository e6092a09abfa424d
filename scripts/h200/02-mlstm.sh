#!/usr/bin/env bash
# Train the byte mLSTM and score it on its way (S-X1; of --hidden 2048 also S-E1, S-E2, S-E4, S-F3,
# S-T2); results, weights and features in $OUT (default ./out), a short table last.
#
#   scripts/h200/carry.sh with                       # before, where the data are: 61 MiB in .h200
#   scripts/h200/02-mlstm.sh --limit 540             # H = 2048, 360 s of training
#   scripts/h200/02-mlstm.sh --hidden 1024 --train-seconds 180
#   scripts/h200/02-mlstm.sh --hidden 512 --train-seconds 90
#   scripts/h200/02-mlstm.sh --device cpu --quick    # the same way, toy reviews, seconds; --packs: real
#
# The question of alignment, at equal text and bytes (carry.sh without, 32 MiB, for the second):
#   scripts/h200/02-mlstm.sh --hidden 1024 --corpus-bytes 49000000 --bytes 500000000
#   scripts/h200/02-mlstm.sh --hidden 1024 --corpus-bytes 49000000 --bytes 500000000 --corpus without
#
# A call with the same arguments on the same machine goes on where the last one stopped: more
# training than fits into one call is --train-seconds 960 in two. ESTIMATED from the bounds, nothing
# was measured: 2.2 MB/s at H = 2048, 4.7 at 1024, 7.8 at 512; beside training about 15 s to unpack
# and compile, 5 s a visit, 60 s at the end. Comes back: NAME.json, .jsonl, .log, weights (42 MiB in
# three shards at H = 2048), float16 features of the strongest units: 155 of 2048, as many as fit into
# 64 MiB beside the weights; 256 at H = 1024 and 512.
source "$(dirname "$0")/environment.sh"
experiment 02-mlstm.log mlstm "$@"
