"""What two processes compute together: ``test_gan_distributed`` starts this with torchrun.

Each writes ``rank{r}.pt`` into the folder named: its training run, its parts of a batch norm over
both and what it saw of a checkpoint. Triton's kernels are interpreted, by TRITON_INTERPRET=1.
"""

import importlib.util
import sys

import batch_norm_cases as cases
import torch
import torch.distributed as dist
from test_gan_training import pictures

from radford_lib.training import distributed
from radford_lib.training.gan import GanConfig, train_gan
from radford_lib.training.gan_data import to_tensor

CASE = cases.Case((12, 5, 3, 2), groups=2)
CONFIG = GanConfig(
    shape="svhn32", width=4, batch=8, max_updates=5, schedule="sequential", snapshot_samples=6
)


def own_part(x, rank):
    """Of each of the two groups of a batch, half."""
    return torch.cat([group.chunk(2)[rank] for group in x.chunk(2)])


def batch_norm(backend, rank):
    """y and the gradients that this process finds, of its part of the rows."""
    x, gain, bias, dy = cases.make_inputs(CASE)
    x = own_part(x, rank).contiguous(memory_format=torch.channels_last)
    return cases.run(
        CASE, (x, gain, bias, own_part(dy, rank)), backend, process_group=dist.group.WORLD
    )


def main(folder):
    ranks = distributed.setup("cpu")
    found = {"ranks": (ranks.rank, ranks.world, ranks.device, ranks.is_main)}
    images = pictures(40)
    run = train_gan(
        CONFIG, images, device="cpu", progress=False, checkpoint_dir=f"{folder}/checkpoint"
    )
    again = train_gan(
        CONFIG, images, device="cpu", progress=False, checkpoint_dir=f"{folder}/checkpoint"
    )
    found["history"], found["again"] = run.history, again.history
    found["weights"] = [p.detach() for p in run.generator.parameters()]
    found["weights"] += [p.detach() for p in run.discriminator.parameters()]
    found["snapshots"] = torch.from_numpy(run.snapshots[1.0])
    # batch norm is a process's own again
    found["logits"] = run.discriminator(to_tensor(images.images[: 8 + ranks.rank], 3)).detach()
    backends = ["reference", "cpu"]
    if importlib.util.find_spec("triton") is not None:
        backends.append("triton")
    found["norms"] = {backend: batch_norm(backend, ranks.rank) for backend in backends}
    try:
        ranks.part(7)
    except distributed.UsageError as error:
        found["refused"] = str(error)
    torch.save(found, f"{folder}/rank{ranks.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
