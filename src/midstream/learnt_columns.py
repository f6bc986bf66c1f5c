"""The loss of a training step from the logits of the columns that are learnt; the others get none.

Questions, prompts and padding are read, not learnt, so their logits are made for nothing: at the shape of OPT-125M
those of a column cost as much as five layers, and with 150,000 words they are most of a step's memory.

    column    <image> what colour is it ? red .  pad            learnt: its next column has a label
    learnt                              x   x

Owns the head's input and the cross-entropy. Knows nothing of how a batch was made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.modeling import IGNORED

_WANTED: ContextVar[Tensor | None] = ContextVar("midstream_wanted", default=None)


def targets(labels_BT: Tensor) -> Tensor:
    """What each column is to say, (B, T): the label of the next one; `IGNORED` where nothing is learnt."""
    return nn.functional.pad(labels_BT[:, 1:], (0, 1), value=IGNORED)


@contextmanager
def logits_only_at(lm: PreTrainedModel, wanted_BT: Tensor) -> Iterator[None]:
    """Let the head of `lm` see the wanted columns only; its logits are then (1, N, vocabulary), row by row.

    Args:
        wanted_BT: True where logits are wanted, N times.
    """
    head = lm.get_output_embeddings()
    handle = head.register_forward_pre_hook(_pick)
    token = _WANTED.set(wanted_BT)
    try:
        yield
    finally:
        _WANTED.reset(token)
        handle.remove()


def _pick(module: nn.Module, args: tuple[Any, ...]) -> Any:
    wanted_BT = _WANTED.get()
    if wanted_BT is None or not args or args[0].shape[:2] != wanted_BT.shape:  # another thread's call
        return None
    return (args[0][wanted_BT].unsqueeze(0), *args[1:])


def loss(output: Any, labels_BT: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Cross-entropy per learnt column, as the LM's own loss is.

    Args:
        output: of a forward pass inside `logits_only_at(lm, targets(labels) != IGNORED)`.
        num_items_in_batch: what to divide the sum by, where a step has several batches; their own number by default.
    """
    targets_BT = targets(labels_BT)
    learnt_BT = targets_BT != IGNORED
    logits = output.logits
    logits_NV = logits[learnt_BT] if logits.shape[:2] == labels_BT.shape else logits.flatten(0, 1)
    total = nn.functional.cross_entropy(logits_NV.float(), targets_BT[learnt_BT], reduction="sum")
    count = learnt_BT.sum() if num_items_in_batch is None else num_items_in_batch
    return total / torch.as_tensor(count, device=total.device)
