"""What a row of documents costs a pocket language model: compiled, each document by itself."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch.nn import functional

from midstream.pocket.lm_others import habits_of

ROW_TOKENS: Final = 177
"""Tokens of a row, the first of which is not predicted."""


def weighted_loss(model: Any, device: torch.device) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A compiled function of (ids ``[B, T+1]``, weights ``[B, T+1]``) to the weighted mean cross entropy.

    Documents that share a row do not see one another. Walks the model's own layers with one mask made beforehand: left
    to the model's ``forward``, the compiler works it out again in every layer, for half of the step.
    """
    eos, read = model.config.eos_token_id, habits_of(model).walk(model, ROW_TOKENS - 1, device)
    past_TT = torch.ones((ROW_TOKENS - 1, ROW_TOKENS - 1), dtype=torch.bool, device=device).tril()

    def loss(
        ids_BT: torch.Tensor, weights_BT: torch.Tensor, mask_B1TT: torch.Tensor, positions_BT: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits_BTV = model.lm_head(read(ids_BT[:, :-1], mask_B1TT, positions_BT))
        each = functional.cross_entropy(logits_BTV.float().flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        weights = weights_BT[:, 1:].flatten()
        return (each * weights).sum() / weights.sum()

    compiled = torch.compile(loss, dynamic=False)

    def masked(ids_BT: torch.Tensor, weights_BT: torch.Tensor) -> torch.Tensor:
        ended_BT = (ids_BT[:, :-1] == eos).int()
        document_BT = ended_BT.cumsum(1) - ended_BT  # a document's eos still belongs to it
        same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
        mask_BTT = torch.zeros(same_BTT.shape, dtype=torch.bfloat16, device=device).masked_fill_(
            ~(same_BTT & past_TT), float("-inf")
        )
        return compiled(ids_BT, weights_BT, mask_BTT[:, None], habits_of(model).positions(model, ids_BT[:, 1:]))

    return masked
