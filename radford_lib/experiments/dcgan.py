"""The DCGAN at the paper's width: what D knows, faces, and digits as training data.

``python -m radford_lib.experiments.dcgan --jobs transfer`` trains the net of Table 1 on Tiny
ImageNet and reads CIFAR-10 with it (D-T1, D-X3), with the untrained net and pixels as controls;
``faces`` trains the 64-pixel net (D-F2, D-F3, D-X11); ``digits`` trains the conditional net and
classifies real digits by their nearest neighbours among its samples (D-T3). The results of the
first two have the names that the chapters give them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from radford_lib.experiments.digits import Digits
from radford_lib.experiments.faces import Faces
from radford_lib.experiments.gan_runs import FULL, PACKS, QUICK
from radford_lib.experiments.session import Session, Stage, common_arguments, main
from radford_lib.experiments.transfer import Transfer

JOBS: dict[str, type[Transfer] | type[Faces] | type[Digits]] = {
    "transfer": Transfer,
    "faces": Faces,
    "digits": Digits,
}


def arguments() -> argparse.ArgumentParser:
    parser = common_arguments(__doc__)
    parser.add_argument("--jobs", default=",".join(JOBS), help="comma-separated")
    parser.add_argument("--updates", type=int, help="of the transfer nets [23000]")
    parser.add_argument("--face-epochs", type=int, help="[200]")
    parser.add_argument("--digit-epochs", type=int, help="[100]")
    return parser


def build(argv: Sequence[str] | None = None) -> tuple[Session, list[Stage]]:
    """The session and the stages of what the command line asks for."""
    started = time.perf_counter()
    parser = arguments()
    asked = parser.parse_args(argv)
    names = [name for name in asked.jobs.split(",") if name]
    if not names or not set(names) <= set(JOBS):
        parser.error(f"--jobs {asked.jobs}: choose from {', '.join(JOBS)}")
    sizes = (PACKS if asked.packs else QUICK) if asked.quick else FULL
    changed = {
        "updates": asked.updates, "face_epochs": asked.face_epochs,
        "digit_epochs": asked.digit_epochs,
    }  # fmt: skip
    sizes = replace(sizes, **{name: value for name, value in changed.items() if value is not None})
    session = Session(f"03-dcgan-{'-'.join(names)}", asked, started, sizes)
    stages: list[Stage] = []
    for name in names:
        stages += JOBS[name](session, sizes).stages()
    return session, stages


if __name__ == "__main__":
    sys.exit(main(build))
