"""Checkpoints: one file that is whole or absent, from which a run continues to the bit.

Tensors and JSON state travel together in one safetensors file (the JSON in its metadata), written
beside the final name and then renamed: a process killed at any moment leaves the previous
checkpoint or the next one, never a mixture. Nothing is pickled.
"""

import dataclasses
import functools
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import radford_lib
from radford_lib.errors import RadfordError
from radford_lib.files import atomic_path, sha256_tree

FILE_NAME = "checkpoint.safetensors"
_LIBRARY = Path(radford_lib.__file__).parent
# A change in any of these may change what a run computes, so it starts a new checkpoint.
_SOURCES_THAT_DECIDE = ("kernels", "models", "training")
_HOW_IT_COMPUTES = ("foreach", "fused", "capturable")  # options of an optimiser, not of a run
_KINDS = (".py", ".cpp", ".h")


def fingerprint(config: Any, data_sha256: str) -> str:
    """Identify a training run: 12 hex digits over its configuration, data and source code.

    ``config`` is a dataclass instance or a mapping of JSON values; ``data_sha256`` identifies
    what it reads. The sources are those of ``radford_lib``'s kernels, models and training.
    """
    is_instance = dataclasses.is_dataclass(config) and not isinstance(config, type)
    described = {
        "config": dataclasses.asdict(config) if is_instance else dict(config),
        "kind": type(config).__name__,
        "data": data_sha256,
        "sources": _sources_sha256(),
    }
    text = json.dumps(described, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _sources_sha256() -> str:
    # once a process: what it imported does not change when a file is edited meanwhile
    folders = [_LIBRARY / name for name in _SOURCES_THAT_DECIDE]
    sources = [p for folder in folders for kind in _KINDS for p in folder.rglob(f"*{kind}")]
    return sha256_tree(sources, _LIBRARY)


def default_checkpoint_dir(name: str, fingerprint: str) -> Path:
    """Folder for the run ``name``: under ``RADFORD_CHECKPOINTS``, else ``runs/checkpoints``."""
    named = os.environ.get("RADFORD_CHECKPOINTS")
    root = Path(named) if named else _LIBRARY.parent / "runs" / "checkpoints"
    return root / f"{name}-{fingerprint}"


def save_checkpoint(
    folder: str | os.PathLike[str], tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> Path:
    """Write ``tensors`` and the JSON ``state`` to ``folder``, replacing the checkpoint there.

    Raises ``RadfordError`` where the folder cannot be written.
    """
    path = Path(folder) / FILE_NAME
    # clones: safetensors refuses tensors that share memory, as views and tied weights do
    owned = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    metadata = {"state": json.dumps(state), "crc32": f"{_crc32(owned):08x}"}
    with atomic_path(path) as temporary:
        try:
            save_file(owned, temporary, metadata)
        except (OSError, SafetensorError) as error:
            raise RadfordError(f"cannot write {path}: {error}") from error
    return path


def load_checkpoint(
    folder: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the checkpoint in ``folder`` onto the CPU; None where there is none.

    Raises ``RadfordError`` naming the file where it is not whole.
    """
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = json.loads(metadata["state"])
        intact = int(metadata["crc32"], 16) == _crc32(tensors)
    except PermissionError as error:
        raise RadfordError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _corrupt(path) from error
    if not intact:
        raise _corrupt(path)
    return tensors, state


def _corrupt(path: Path) -> RadfordError:
    return RadfordError(f"checkpoint {path} is damaged: delete it and run again to start afresh")


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


def flatten_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str = "optimizer"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors, named under ``prefix``, and a JSON remainder."""
    full = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}

    def rest(values: Mapping[Any, Any], path: str) -> dict[str, Any]:
        found = {f"{path}.{k}": v for k, v in values.items() if isinstance(v, Tensor)}
        tensors.update(found)
        return {str(k): v for k, v in values.items() if not isinstance(v, Tensor)}

    state = {
        "state": {str(i): rest(v, f"{prefix}.state.{i}") for i, v in full["state"].items()},
        "param_groups": [
            rest(group, f"{prefix}.group.{i}") for i, group in enumerate(full["param_groups"])
        ],
    }
    return tensors, state


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    prefix: str = "optimizer",
) -> None:
    """Undo ``flatten_optimizer``: the optimiser continues as the saved one would have.

    Each moment gets its parameter's memory format: a fused Adam walks through both by address.
    How it computes is this optimiser's own, not the saved one's, which may have been on another
    device; and its tensors, a learning rate say, get the saved values in place.
    """
    groups = [dict(group) for group in optimizer.param_groups]

    def whole(values: Mapping[str, Any], path: str) -> dict[str, Any]:
        own = {n.removeprefix(path): t for n, t in tensors.items() if n.startswith(path)}
        return dict(values) | own

    optimizer.load_state_dict(
        {
            "state": {
                int(i): whole(values, f"{prefix}.state.{i}.")
                for i, values in state["state"].items()
            },
            "param_groups": [
                whole(group, f"{prefix}.group.{i}.")
                for i, group in enumerate(state["param_groups"])
            ],
        }
    )
    for group, own in zip(optimizer.param_groups, groups, strict=True):
        group.update({name: own[name] for name in _HOW_IT_COMPUTES if name in own})
        for name, value in own.items():
            if isinstance(value, Tensor):
                value.fill_(float(group[name]))
                group[name] = value
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
