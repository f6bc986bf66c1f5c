"""Muon for many small matrices: all matrices of one shape are orthogonalised together.

`torch.optim.Muon` walks them one by one, which for a small deep model on a CPU costs a fifth of a step; batched it is a
twentieth. Same update: Nesterov momentum, five Newton-Schulz steps, scaled to an AdamW-like size ("match_rms_adamw").

Source: K. Jordan et al., Muon (2024); scale from J. Liu et al., "Muon is scalable for LLM training" (2025), section
2.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import torch

_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_STEPS: Final = 5


def orthogonalise(stack_NAB: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz: singular values of every matrix towards 1, in bfloat16. Shape ``[N, A, B]`` in and out."""
    a, b, c = _COEFFICIENTS
    wide = stack_NAB.mT if stack_NAB.shape[1] > stack_NAB.shape[2] else stack_NAB
    x = wide.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if wide is not stack_NAB else x).float()


class BatchedMuon(torch.optim.Optimizer):
    """Muon over 2-D parameters, batched by shape.

    Args:
        params: matrices only.
        lr: step size, of AdamW's order.
        momentum: Nesterov momentum.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.95) -> None:
        params = list(params)
        if any(p.ndim != 2 for p in params):
            raise ValueError("Muon updates matrices only; give vectors and embeddings to AdamW")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, matrices in by_shape.items():
                grads = [p.grad for p in matrices if p.grad is not None]
                moments = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in matrices]
                torch._foreach_lerp_(moments, grads, 1 - group["momentum"])
                look = torch._foreach_lerp(grads, moments, group["momentum"])
                updates = orthogonalise(torch.stack(list(look))).unbind()
                torch._foreach_add_(matrices, updates, alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)
