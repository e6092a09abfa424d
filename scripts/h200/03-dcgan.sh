#!/usr/bin/env bash
# Train the DCGANs of the paper's width: Table 1 (transfer: D-T1, D-X3), faces (D-F2, D-F3, D-X11),
# Table 3 (digits: D-T3); results, weights, samples in $OUT (default ./out), a short table last.
#
#   scripts/h200/carry.sh transfer                   # before, where the data are: 55 MiB in .h200
#   scripts/h200/03-dcgan.sh --jobs transfer --limit 540
#   scripts/h200/carry.sh faces                      # 32 MiB
#   scripts/h200/03-dcgan.sh --jobs faces,digits --limit 300
#   scripts/h200/03-dcgan.sh --device cpu --quick    # the same way, toy images, seconds; --packs: real
#
# A call with the same arguments on the same machine goes on where the last one stopped. ESTIMATED
# from the bounds, nothing was measured: transfer 450 s (training 60, features and SVMs on
# 50,000 x 28,672 150, few labels 240); faces 60 s; digits 80 s (10 million samples and their
# 157 TFLOP of distances 20). Comes back: NAME.json, .jsonl, .log, samples, weights: both 32-pixel
# nets (22 MiB), the face and digit generators (36 and 13 MiB).
source "$(dirname "$0")/environment.sh"
experiment 03-dcgan.log dcgan "$@"
