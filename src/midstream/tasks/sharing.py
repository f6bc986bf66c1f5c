"""Work shared by the processes that `torchrun` or `accelerate launch` started. Every result comes back exactly once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

Item = TypeVar("Item")
Result = TypeVar("Result")


def processes() -> PartialState:
    """This process among all that were started together, joined to them, on its own device."""
    return PartialState(cpu=not torch.accelerator.is_available())


def in_shares(items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    """Do work on items in as many shares as there are processes.

    Shares are cut before anything is batched, and results travel with their item's number. So nothing is padded
    to make shares equal, and no result can be there twice.

    Args:
        items: the same on every process.
        work: from a share, which may be empty, to one result for each of its items; results must be picklable.

    Returns:
        The results of all items, in order, on every process.
    """
    everyone = processes()
    mine = range(everyone.process_index, len(items), everyone.num_processes)
    done = list(zip(mine, work([items[number] for number in mine]), strict=True))
    gathered = gather_object(done)
    found = dict(gathered)
    if len(gathered) != len(items) or len(found) != len(items):
        raise RuntimeError(f"{len(items)} items came back as {len(gathered)}: the processes were given different items")
    return [found[number] for number in range(len(items))]
