"""Tensors in several safetensors files, none larger than a limit; a large tensor is cut by rows."""

import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from radford_lib.errors import RadfordError
from radford_lib.files import atomic_path, sha256_file

SHARD_BYTES = 16_000_000  # with its header a file stays below 16 MiB


def write_shards(
    folder: str | os.PathLike[str],
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    limit: int = SHARD_BYTES,
) -> list[dict[str, Any]]:
    """Write ``folder/NAME-1-of-N.safetensors`` and so on; returns file, bytes, sha256 of each.

    Tensors have at least one dimension, the rows. One that does not fit into what is left of a file
    goes on in the next. Raises ``RadfordError`` where a single row is larger than ``limit`` or the
    folder cannot be written.
    """
    files: list[dict[str, Tensor]] = [{}]
    left = limit
    for key, tensor in tensors.items():
        rows = tensor.detach().cpu().contiguous()
        of_row = max(1, rows[:1].nbytes)
        if of_row > limit:
            raise RadfordError(f"one row of '{key}' has {of_row} bytes: no file may hold it")
        start = 0
        while start < len(rows):
            if left < of_row:
                files.append({})
                left = limit
            piece = rows[start : start + left // of_row]
            # safetensors writes the whole storage of a view
            files[-1][f"{key}:{start}"] = piece.clone()
            left -= piece.nbytes
            start += len(piece)
    return [
        _write(Path(folder), f"{name}-{number}-of-{len(files)}.safetensors", part)
        for number, part in enumerate(files, 1)
    ]


def _write(folder: Path, file: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    path = folder / file
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary)
        except (OSError, SafetensorError) as error:
            raise RadfordError(f"cannot write {path}: {error}") from error
    return {"file": file, "bytes": path.stat().st_size, "sha256": sha256_file(path)}


def shard_count(tensors: Mapping[str, Tensor], limit: int = SHARD_BYTES) -> int:
    """How many files ``write_shards`` would make at most."""
    return math.ceil(1.02 * sum(tensor.nbytes for tensor in tensors.values()) / limit)


def read_shards(
    folder: str | os.PathLike[str], shards: Sequence[Mapping[str, Any]], mend: str
) -> dict[str, Tensor]:
    """The tensors of ``write_shards``, each file checked against its size and SHA-256.

    Raises ``RadfordError`` naming the file that is missing or damaged, and ``mend``: what to do.
    """
    pieces: dict[str, list[tuple[int, Tensor]]] = defaultdict(list)
    for shard in shards:
        path = Path(folder) / shard["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RadfordError(f"{path} cannot be read ({error.strerror}): {mend}") from error
        if hashlib.sha256(content).hexdigest() != shard["sha256"]:
            raise RadfordError(
                f"{path} is damaged ({len(content)} bytes, not the {shard['bytes']} of its card, "
                f"or others): {mend}"
            )
        for key, tensor in load(content).items():
            name, _, start = key.rpartition(":")
            pieces[name].append((int(start), tensor))
    ordered = {name: sorted(found, key=lambda piece: piece[0]) for name, found in pieces.items()}
    return {name: torch.cat([tensor for _, tensor in found]) for name, found in ordered.items()}
