"""Makes a cache, or goes on with one that was interrupted, or takes the one that is there.

cached
|- refuse what is not constant                      (entry at layer 0, trained parts below, augmentation, streams)
|- origin: the facts; another cache in the folder is refused (or made again)
|- the disk has room for what is missing, or nothing is begun
`- shard after shard: rows -> batch -> constants -> items -> one file, whole or not at all

Under DDP each process makes every world-th shard, and all wait for one another.
"""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from midstream.cache.constancy import check_constant
from midstream.cache.items import COLUMNS, Item, constants, split
from midstream.cache.origin import Kind, Origin, difference, digest, origin
from midstream.cache.shards import SCRATCH, CachedRows, is_finished, write_shard
from midstream.data.rows import Row
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.progress import Report, silent

ORIGIN_NAME = "origin.json"
SHARD_BYTES = 64 * 2**20
MARGIN = 1.05
"""The size is estimated from a few rows; texts differ in length."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A cache that may or may not be there yet."""

    folder: Path
    facts: Origin
    rows: int
    rows_per_shard: int
    bytes_per_row: int

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(-(-self.rows // self.rows_per_shard))

    def numbers(self, shard: int) -> range:
        """Rows of one shard."""
        return range(self.rows)[shard * self.rows_per_shard : (shard + 1) * self.rows_per_shard]

    def missing(self) -> list[int]:
        """Shards that are not finished."""
        name = digest(self.facts)
        return [n for n in self.shards if not is_finished(self.folder, n, len(self.numbers(n)), name)]


def cached(
    rows: Sequence[Row],
    model: MidstreamForCausalLM,
    processor: MidstreamProcessor,
    kind: Kind,
    folder: Path | None = None,
    *,
    name: str = "rows",
    stored_as: torch.dtype | None = None,
    batch_size: int = 32,
    shard_bytes: int = SHARD_BYTES,
    rebuild: bool = False,
    report: Report = silent,
) -> CachedRows:
    """The rows as cached items; what is missing of the cache is computed.

    Args:
        rows: a pure function of the index.
        model: on the device that is to compute.
        processor: the model's.
        kind: `features` of the encoders, or `states`: those and the text's hidden states at the lowest entry layer.
        folder: the cache; by default a folder of its own for these very facts, under `cache_root()`.
        name: what the default folder's name begins with.
        stored_as: the type of floating-point tensors on disk; None for the one that is computed.
        batch_size: rows that are computed together; the training's own keeps products in the same shapes.
        shard_bytes: about how large a file is.
        rebuild: replace a cache of other facts.
        report: told how many rows are there.

    Raises:
        InputError: what was to be kept is not constant, the cache in `folder` was made from something else, or the
            disk has no room.
    """
    check_constant(rows, model, kind)
    facts, bytes_per_row = origin(kind, model, processor, rows, stored_as)
    folder = folder or cache_root() / f"{name}-{kind}-{digest(facts)}"
    batches = max(1, shard_bytes // (bytes_per_row * batch_size))
    plan = Plan(folder, facts, len(rows), batches * batch_size, bytes_per_row)
    everyone = PartialState()
    if everyone.is_main_process:
        _begin(plan, rebuild)
    everyone.wait_for_everyone()
    plan = _as_begun(plan)
    todo = plan.missing()
    everyone.wait_for_everyone()  # or a fast process's first shard would be missing from a slow one's list
    mine = todo[everyone.process_index :: everyone.num_processes]
    done = sum(len(plan.numbers(n)) for n in plan.shards if n not in mine)
    note = f"{kind}, {_size(plan.rows * plan.bytes_per_row)} in all"
    for number in mine:
        items: list[Item] = []
        for batch in _batches(plan.numbers(number), batch_size):
            made = processor.training_batch([rows[i] for i in batch], COLUMNS)
            items += split(constants(made, model, kind == "states"))
            done += len(batch)
            report("caching", done, plan.rows, note)
        write_shard(folder, number, items, stored_as, digest(facts))
    everyone.wait_for_everyone()
    if plan.missing():
        raise InputError(f"processes do not share {folder}; choose a --cache-dir that all of them see")
    if everyone.is_main_process:
        for scratch in folder.glob(f"*{SCRATCH}"):  # of runs that were killed
            scratch.unlink(missing_ok=True)
    return CachedRows(folder, plan.rows, plan.rows_per_shard)


def cache_root() -> Path:
    """Where caches lie by default: `$MIDSTREAM_CACHE`, or `midstream` in the user's cache folder."""
    if chosen := os.environ.get("MIDSTREAM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midstream"


def _begin(plan: Plan, rebuild: bool) -> None:
    """Make the folder ready: another cache is refused or removed, scratch files of a killed run go."""
    known = plan.folder / ORIGIN_NAME
    if known.is_file():
        before = json.loads(known.read_text(encoding="utf-8"))
        if said := difference(before["facts"], plan.facts):
            if not rebuild:
                raise InputError(
                    f"the cache in {plan.folder} was {said}; make it again with --rebuild-cache, "
                    f"or choose another --cache-dir"
                )
            shutil.rmtree(plan.folder)
    elif plan.folder.exists() and any(plan.folder.iterdir()):
        raise InputError(f"{plan.folder} holds something else than a cache; choose another --cache-dir")
    _check_room(_as_begun(plan))
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if not known.is_file():
            fresh = known.with_suffix(f".{os.getpid()}{SCRATCH}")
            fresh.write_text(json.dumps({"facts": plan.facts, "rows_per_shard": plan.rows_per_shard}, indent=2))
            fresh.replace(known)
    except OSError as error:
        raise InputError(f"cannot write to {plan.folder} ({error.strerror}); choose another --cache-dir") from None


def _as_begun(plan: Plan) -> Plan:
    """The plan with the shard size that the folder was begun with."""
    known = plan.folder / ORIGIN_NAME
    if not known.is_file():
        return plan
    rows_per_shard = json.loads(known.read_text(encoding="utf-8"))["rows_per_shard"]
    return Plan(plan.folder, plan.facts, plan.rows, rows_per_shard, plan.bytes_per_row)


def _check_room(plan: Plan) -> None:
    missing = sum(len(plan.numbers(number)) for number in plan.missing())
    needed = int(missing * plan.bytes_per_row * MARGIN)
    there = next(folder for folder in (plan.folder, *plan.folder.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"the cache needs {_size(needed)} ({missing:,} rows of {_size(plan.bytes_per_row)}), but {there} has "
            f"{_size(free)} free; choose another --cache-dir, halve it with --set training.cache_precision=bfloat16, "
            f"or train with --cache none"
        )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _batches(numbers: range, size: int) -> Iterable[range]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
