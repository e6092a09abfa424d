"""The trained networks that ship with the book, each with a card that says what it is.

A network called NAME is ``NAME.json``, the card, and its weights in half precision, as safetensors
in shards below 16 MiB. Nothing here is a pickle. ``load`` is the one way in.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import write_text
from radford_lib.models.dcgan import make_discriminator, make_generator
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.weights.shards import read_shards, write_shards

FOLDER = Path(__file__).parent
# What a card must say beside its name and its shards
CARD = (
    "architecture", "data", "licence", "seed", "steps", "device", "seconds", "loss", "scores",
    "commit",
)  # fmt: skip
MAKERS: dict[str, Callable[..., nn.Module]] = {
    "byte-language-model": ByteLanguageModel,
    "dcgan-generator": make_generator,
    "dcgan-discriminator": make_discriminator,
}


def list_weights(folder: str | os.PathLike[str] = FOLDER) -> dict[str, dict[str, Any]]:
    """The cards of all networks in ``folder``, by name.

    Raises ``RadfordError`` for a card that cannot be read.
    """
    return {path.stem: read_card(path) for path in sorted(Path(folder).glob("*.json"))}


def read_card(path: Path) -> dict[str, Any]:
    """One card, whole. Raises ``RadfordError`` naming what it lacks."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in (*CARD, "shards") if key not in card]
    except (OSError, ValueError, TypeError) as error:
        raise RadfordError(f"{path} is not a card of weights: {mend(path.stem)}") from error
    if missing:
        raise RadfordError(f"the card {path} says nothing of {', '.join(missing)}")
    return card


def mend(name: str) -> str:
    """What a user does about weights that are not whole."""
    return f"get '{name}' from the repository again"


def load(
    name: str, *, device: str | torch.device = "cpu", folder: str | os.PathLike[str] = FOLDER
) -> nn.Module:
    """The trained network ``name`` in float32 on ``device``, ready for use (``eval``).

    Raises ``UsageError`` for a name that is not there, ``RadfordError`` for a card or shard that
    is missing, damaged or of another architecture.
    """
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        names = ", ".join(found.stem for found in sorted(Path(folder).glob("*.json")))
        raise UsageError(f"no weights called '{name}'; there are: {names or 'none yet'}")
    card = read_card(path)
    tensors = read_shards(folder, card["shards"], mend(name))
    module = build(card["architecture"], str(path))
    try:
        module.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise RadfordError(f"the weights of '{name}' do not fit their card: {reason}") from error
    return module.to(device).eval()


def build(architecture: Mapping[str, Any], what: str) -> nn.Module:
    """An untrained network of this architecture: ``kind`` and the arguments of its maker."""
    arguments = dict(architecture)
    kind = arguments.pop("kind", None)
    if kind not in MAKERS:
        raise RadfordError(f"{what} describes a '{kind}'; known are: {', '.join(MAKERS)}")
    try:
        return MAKERS[kind](**arguments)
    except TypeError as error:
        raise RadfordError(f"{what} describes a {kind} wrongly: {error}") from error


def half(module: nn.Module, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """The weights of ``module`` in half precision.

    Raises ``RadfordError`` where one does not fit into it.
    """
    found = {name: t.detach().cpu().to(dtype) for name, t in module.state_dict().items()}
    large = [name for name, tensor in found.items() if not tensor.isfinite().all()]
    if large:
        raise RadfordError(f"{large[0]} does not fit into {dtype}: has training diverged?")
    return found


def pack(
    name: str,
    module: nn.Module,
    card: Mapping[str, Any],
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float16,
) -> dict[str, Any]:
    """Write the shards of ``module`` to ``folder`` and return its whole card, which is not written.

    ``card`` says what ``CARD`` names; the shards and the precision are added. ``architecture`` is a
    ``kind`` of ``MAKERS`` and the arguments that make the network. Raises ``RadfordError`` where
    ``module`` is not what that makes, where a card is not whole or the folder cannot be written.
    """
    missing = [key for key in CARD if key not in card]
    if missing:
        raise RadfordError(f"the card of '{name}' says nothing of {', '.join(missing)}")
    tensors = half(module, dtype)
    made = build(card["architecture"], f"the card of '{name}'").state_dict()
    if {key: t.shape for key, t in made.items()} != {key: t.shape for key, t in tensors.items()}:
        raise RadfordError(f"the card of '{name}' describes another network than it comes with")
    shards = write_shards(folder, name, tensors)
    return {**card, "precision": str(dtype).removeprefix("torch."), "shards": shards}


def save(
    name: str, module: nn.Module, card: Mapping[str, Any], folder: str | os.PathLike[str]
) -> None:
    """Write ``module`` and its card to ``folder``, from which ``load`` reads them; see ``pack``."""
    write_card(name, pack(name, module, card, folder), folder)


def write_card(name: str, card: Mapping[str, Any], folder: str | os.PathLike[str]) -> None:
    """Write the card of ``name`` to ``folder``."""
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    write_text(Path(folder) / f"{name}.json", text)
