"""How every pocket encoder is pretrained: a wall-clock budget, warm-up, decay. Knows no modality.

What differs from one to the next is a *course*, a module with ``Tagger`` (the encoder under heads that are thrown away
afterwards), ``tagged_batch(bucket, index, seed)``, ``loss_of(tagger, *batch)``, ``tagging_accuracy(tagger, bucket,
batches)``, ``save(tagger, folder)``, and ``BATCH`` of what ``UNIT`` names.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from midstream.pocket.muon import BatchedMuon
from midstream.pocket.sizes import WIDTH

Batch = tuple[torch.Tensor, ...]

MUON_LR: Final = 4e-3
ADAM_LR: Final = 2e-3
WARM_UP_STEPS: Final = 100
DECAY_FROM: Final = 0.3


class _Stream(IterableDataset[Batch]):
    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Batch]:
        return map(self._make, itertools.count())


def fit(
    model: nn.Module,
    make: Callable[[int], Batch],
    loss: Callable[..., torch.Tensor],
    check: Callable[[], dict[str, float]],
    *,
    minutes: float,
    device: torch.device,
    say: Callable[[str], None],
    compiled: bool = True,
) -> dict[str, Any]:
    """Train for a wall-clock budget (compiling excepted); matrices of transformer layers by Muon, the rest by AdamW.

    Args:
        model: on `device`; its parameters are those that are trained.
        make: batch number -> tensors, a pure function that a second process can be sent (no closure).
        loss: the tensors of a batch -> a scalar; it calls `model`.
        check: figures on validation data, said every two minutes.
        minutes: the budget.
        device: where to train.
        say: receives one line of progress at a time.
        compiled: whether `loss` goes through torch.compile.

    Returns:
        steps, minutes, and the running mean of the loss.
    """
    named = [(name, p, p.ndim == 2 and ".layer" in name) for name, p in model.named_parameters() if p.requires_grad]
    muon = BatchedMuon([p for _, p, matrix in named if matrix], lr=MUON_LR)
    adam = torch.optim.AdamW(
        [p for _, p, matrix in named if not matrix], lr=ADAM_LR, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    pairs: list[tuple[torch.optim.Optimizer, float]] = [(muon, MUON_LR), (adam, ADAM_LR)]

    def mixed(*tensors: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return loss(*tensors)

    step_loss = torch.compile(mixed, dynamic=False) if compiled else mixed
    spent, mean, began, checked, step = 0.0, 0.0, time.monotonic(), 0.0, 0
    for step, batch in enumerate(DataLoader(_Stream(make), batch_size=None, num_workers=1, prefetch_factor=16), 1):
        scale = min(1.0, step / WARM_UP_STEPS, max(0.0, (1 - spent / (60 * minutes)) / (1 - DECAY_FROM)))
        for optimiser, peak in pairs:
            optimiser.param_groups[0]["lr"] = peak * scale
        value = step_loss(*(part.to(device) for part in batch))
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, _ in pairs:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if step == 1:
            began = time.monotonic()
        spent = time.monotonic() - began
        mean = value.item() if step == 1 else 0.98 * mean + 0.02 * value.item()
        if step % 100 == 0:
            say(f"step {step}  {spent / 60:.1f}/{minutes:g} min  loss {mean:.3f}")
        if spent - checked > 120 or spent >= 60 * minutes:
            checked = spent
            say(f"validation {check()}")
        if spent >= 60 * minutes:
            break
    model.eval()
    return {"steps": step, "minutes": round(spent / 60, 1), "loss": round(mean, 4)}


def pretrain(
    course: Any,
    minutes: float,
    seed: int,
    device: torch.device,
    say: Callable[[str], None],
    known: Path | None = None,
    compiled: bool = True,
    width: int = WIDTH,
) -> tuple[Any, dict[str, Any]]:
    """Train an encoder from nothing, or further.

    Args:
        course: see above.
        minutes: wall-clock budget, compiling excepted.
        seed: of initial weights and data.
        device: where to train.
        say: receives one line of progress at a time.
        known: folder of an encoder that is trained further, under fresh heads.
        compiled: as `fit`.
        width: of the encoder.

    Raises:
        InputError: a width that cannot be built.

    Returns:
        the tagger (its ``encoder`` is what ships) and figures about the run.
    """
    torch.manual_seed(seed)
    model = course.Tagger(width).to(device)
    if known is not None:
        model.encoder.load_state_dict(load_file(known / "model.safetensors"))
    figures = fit(
        model,
        partial(course.tagged_batch, "train", seed=seed),
        partial(course.loss_of, model),
        lambda: course.tagging_accuracy(model, "validation", batches=3),
        minutes=minutes,
        device=device,
        say=say,
        compiled=compiled,
    )
    return model, figures | {course.UNIT: figures["steps"] * course.BATCH}
