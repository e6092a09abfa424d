#!/usr/bin/env bash
# Break each of the five guidelines of DCGAN in turn, five seeds each, at 32 pixels (D-X1): KID, share
# of runs that collapse or diverge, probe; results and samples in $OUT (default ./out), a table last.
#
#   scripts/h200/carry.sh guidelines                 # before, where the data are: 18 MiB in .h200
#   scripts/h200/04-guidelines.sh --limit 560
#   scripts/h200/04-guidelines.sh --nets "paper,pooling" --seeds 2
#   scripts/h200/04-guidelines.sh --device cpu --quick   # the same way, toy images, seconds; --packs: real
#
# Runs that are done are not done again, also on another machine of the same card with
# --resume 04-guidelines.json of an earlier call. ESTIMATED from the bounds, nothing was measured: 45
# runs of about 10 s (7,800 updates of the SVHN net, KID of 2,000 samples, a probe).
source "$(dirname "$0")/environment.sh"
experiment 04-guidelines.log guidelines "$@"
