"""Measuring: interleaved, warm, paired, with spread; and the memory that one run holds. Knows callables, no models.

Other work on the machine slows whatever runs just then, so what is compared takes turns within each round, in the
opposite order every other round, and ratios are taken within a round.
"""

import time
import weakref
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from midstream.progress import Report, silent

Run = Callable[[], Any]
Clock = Callable[[], float]


def interleaved(
    runs: Mapping[str, Run],
    rounds: int,
    device: str = "cpu",
    report: Report = silent,
    stage: str = "rounds",
    clock: Clock = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each of `runs` in each round, after one round that only warms up.

    Args:
        runs: name -> what is timed.
        device: "cuda" waits for the GPU before and after.
        clock: `time.process_time` leaves out what others run on a shared CPU, but not their share of its memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        names = list(runs)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            taken = timed(runs[name], device, clock)
            if number:
                seconds[name].append(taken)
        report(stage, number + 1, rounds + 1, "warm-up" if number == 0 else "")
    return seconds


def timed(run: Run, device: str = "cpu", clock: Clock = time.perf_counter) -> float:
    """Seconds that `run` takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return {"median": median(values), "low": low, "high": high}


def ratios(seconds: Mapping[str, list[float]], name: str, base: str) -> dict[str, float]:
    """Median and quartiles of `name` over `base`, round by round."""
    return spread([own / other for own, other in zip(seconds[name], seconds[base], strict=True)])


def share_of_saving(measured: float, promised: float) -> float | None:
    """The share of the promised saving that arrives, from both ratios; None where nothing worth naming is promised."""
    return (1 - measured) / (1 - promised) if promised < 0.9 else None


def peak_bytes(run: Run, device: str = "cpu") -> int:
    """Bytes that `run` holds at most beyond what is held before it: activations, gradients, temporaries; no weights.

    On CUDA the allocator's own peak. On the CPU every tensor that an operator makes is followed until it is freed, in
    backward as well; scratch memory inside a kernel is not seen, so the figure does not depend on the machine.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _Followed() as followed:
        run()
    return followed.peak


class _Followed(TorchDispatchMode):
    """Follows the storages that operators make."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {id(storage) for storage in _storages((args, kwargs))}
        output = func(*args, **(kwargs or {}))
        for storage in _storages(output):
            if id(storage) not in before and id(storage) not in self._known:
                self._follow(storage)
        return output

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._freed, key, size).atexit = False

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    tensors = [value for value in torch.utils._pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]
    return [tensor.untyped_storage() for tensor in tensors]
