"""The DCGAN authors' own SVHN nets of May 2016, as they released them.

Source: Newmu/dcgan_code, ``models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb``, epoch
200 (MIT licence). Theano convolves where PyTorch correlates, so the original kernels are flipped in
both spatial axes, in G and in D, and linear weights are transposed. The weights are data: they are
read from a folder that the user names, as packed safetensors (flipped already) or as the original
``.npy`` pieces of a joblib dump (flipped here). Neither is a pickle.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from radford_lib.errors import RadfordError
from radford_lib.models.dcgan import Discriminator, Generator, make_discriminator, make_generator

# our parameter <- tensor of the packed file, in the order of the original pieces
GENERATOR = {
    "project.weight": "fc.weight",  # (4096, 100)
    "project_norm.gain": "bn1.weight",  # (4096,): per unit
    "project_norm.bias": "bn1.bias",
    "maps.0.weight": "deconv2.weight",  # (256, 128, 5, 5)
    "maps.1.gain": "bn2.weight",
    "maps.1.bias": "bn2.bias",
    "maps.3.weight": "deconv3.weight",  # (128, 64, 5, 5)
    "maps.4.gain": "bn3.weight",
    "maps.4.bias": "bn3.bias",
    "out.weight": "deconv4.weight",  # (64, 3, 5, 5)
}
DISCRIMINATOR = {
    "layers.0.0.weight": "conv1.weight",  # (64, 3, 5, 5)
    "layers.1.0.weight": "conv2.weight",  # (128, 64, 5, 5)
    "layers.1.1.gain": "bn2.weight",
    "layers.1.1.bias": "bn2.bias",
    "layers.2.0.weight": "conv3.weight",  # (256, 128, 5, 5)
    "layers.2.1.gain": "bn3.weight",
    "layers.2.1.bias": "bn3.bias",
    "out.weight": "out.weight",  # (1, 4096)
}
EPOCH = 200  # in the names of the original pieces


def load_official_generator(folder: str | os.PathLike[str]) -> Generator:
    """The released SVHN generator: z (B, 100) Gaussian to digits (B, 3, 32, 32) in -1 to 1.

    ``folder`` holds ``dcgan_svhn_generator.safetensors`` or ``200_gen_params.jl_01.npy`` to
    ``_10.npy``. Raises ``RadfordError`` where files are missing or do not fit.
    """
    net = make_generator("svhn32")
    _fill(net, Path(folder), "dcgan_svhn_generator.safetensors", "gen", GENERATOR)
    assert isinstance(net, Generator)
    return net


def load_official_discriminator(folder: str | os.PathLike[str]) -> Discriminator:
    """The released SVHN discriminator, whose features gave Table 2; see the generator's loader.

    The original pieces are ``200_discrim_params.jl_01.npy`` to ``_08.npy``.
    """
    net = make_discriminator("svhn32")
    _fill(net, Path(folder), "dcgan_svhn_discriminator.safetensors", "discrim", DISCRIMINATOR)
    assert isinstance(net, Discriminator)
    return net


def _fill(net: nn.Module, folder: Path, packed: str, kind: str, names: dict[str, str]) -> None:
    """Copy the weights found in ``folder`` into ``net``, each checked for its shape."""
    source: Callable[[int, str], Tensor]
    if (folder / packed).is_file():
        source = _packed_source(folder / packed)
        found = packed
    elif _piece(folder, kind, 1).is_file():

        def source(number: int, name: str) -> Tensor:
            return _read_piece(_piece(folder, kind, number))

        found = f"{EPOCH}_{kind}_params.jl_*.npy"
    else:
        raise RadfordError(
            f"no official DCGAN weights in {folder}: it needs {packed}, "
            f"or the original {_piece(folder, kind, 1).name} and on"
        )
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        for number, (ours, theirs) in enumerate(names.items(), start=1):
            value = source(number, theirs)
            if value.shape != parameters[ours].shape:
                raise RadfordError(
                    f"{folder / found}: {theirs} has shape {tuple(value.shape)}, "
                    f"not {tuple(parameters[ours].shape)}: not the SVHN nets of 2016"
                )
            parameters[ours].copy_(value)


def _packed_source(path: Path) -> Callable[[int, str], Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RadfordError(f"{path} cannot be read as safetensors: fetch it again") from error

    def read(number: int, name: str) -> Tensor:
        if name not in tensors:
            raise RadfordError(f"{path} has no tensor '{name}': not the SVHN nets of 2016")
        return tensors[name]

    return read


def _piece(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{EPOCH}_{kind}_params.jl_{number:02d}.npy"


def _read_piece(path: Path) -> Tensor:
    """One original array as PyTorch wants it: kernels flipped, linear weights transposed."""
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RadfordError(f"{path} is missing or no .npy array: fetch it again") from error
    tensor = torch.from_numpy(np.ascontiguousarray(value, np.float32))
    if tensor.ndim == 4:
        return tensor.flip(-1, -2)
    return tensor.T if tensor.ndim == 2 else tensor
