"""A cache on disk: numbered safetensors files of a fixed number of rows, read through the page cache.

    FOLDER/origin.json          what the cache was made from, and rows per shard
    FOLDER/00000.safetensors    rows 0..R-1, tensor by tensor: all rows' columns (or slots) one behind the other,
                                and under `{axis}.lengths` how many belong to each row
    FOLDER/00001.safetensors    ...

safetensors and not Arrow, because its tensors are memory-mapped as they are (a row is a view, nothing is converted),
because it knows bfloat16, and because the project reads nothing else. A shard appears by a rename, whole or not at
all. Owns files; knows no model.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from midstream.cache.items import Item, axis
from midstream.errors import InputError

LENGTHS = ".lengths"
SCRATCH = ".part"


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"{number:05d}.safetensors"


def write_shard(folder: Path, number: int, items: Sequence[Item], stored_as: torch.dtype | None, digest: str) -> None:
    """Write a shard, whole or not at all.

    Args:
        items: its rows.
        stored_as: the type of floating-point tensors on disk; None leaves them as they are.
        digest: of the cache's origin; a shard of another cache is not read.

    Raises:
        InputError: the disk is full or not writable; finished shards are kept.
    """
    keys = dict.fromkeys(key for item in items for key in item)
    tensors = {}
    for key in keys:
        joined = torch.cat([item[key] for item in items if key in item])
        tensors[key] = joined.to(stored_as) if stored_as is not None and joined.is_floating_point() else joined
        counts = torch.tensor([len(item[key]) if key in item else 0 for item in items])
        tensors[axis(key) + LENGTHS] = counts
    path = shard_path(folder, number)
    scratch = path.with_suffix(f".{os.getpid()}{SCRATCH}")
    try:
        save_file(tensors, scratch, metadata={"digest": digest, "rows": str(len(items))})
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        if is_finished(folder, number, len(items), digest):
            return  # by another run with the same cache, which then cleared up
        raise InputError(
            f"writing the cache to {folder} failed ({' '.join(str(error).split())}); what is finished there is kept: "
            f"free some space and run the same command again, or choose another --cache-dir"
        ) from None
    finally:
        scratch.unlink(missing_ok=True)


def is_finished(folder: Path, number: int, rows: int, digest: str) -> bool:
    """Whether a shard is there, whole, and of this cache."""
    try:
        with safe_open(shard_path(folder, number), "pt") as file:
            return file.metadata() == {"digest": digest, "rows": str(rows)}
    except (OSError, SafetensorError):
        return False


class CachedRows(Dataset[Item]):
    """The rows of a finished cache, as items; see `midstream.cache.items`.

    Args:
        folder: where the shards lie.
        rows: how many rows there are.
        rows_per_shard: how many of them are in each shard but the last.
    """

    def __init__(self, folder: Path, rows: int, rows_per_shard: int) -> None:
        self.folder = folder
        self._rows, self._rows_per_shard = rows, rows_per_shard
        self._open: dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: int) -> Item:
        number, row = divmod(range(self._rows)[index], self._rows_per_shard)
        tensors, ends = self._shard(number)
        item = {}
        for key, tensor in tensors.items():
            stop = int(ends[axis(key)][row])
            start = int(ends[axis(key)][row - 1]) if row else 0
            if stop > start:
                item[key] = tensor[start:stop]
        return item

    def __getstate__(self) -> Mapping[str, Any]:
        return vars(self) | {"_open": {}}  # a worker process maps the files itself

    def _shard(self, number: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tensors of a shard, mapped, not read; and for each axis where each row ends."""
        if number not in self._open:
            with safe_open(shard_path(self.folder, number), "pt") as file:
                found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            ends = {key.removesuffix(LENGTHS): found.pop(key).cumsum(0) for key in list(found) if key.endswith(LENGTHS)}
            self._open[number] = found, ends
        return self._open[number]
