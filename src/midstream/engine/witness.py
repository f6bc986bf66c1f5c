"""Compares the masks that an LM makes for its own sequence with those the engine would make for it.

The engine knows a layer's mask by its type. An LM whose layers of that type read otherwise (a window that the config
names and the code does not use, or the other way round) would be driven wrongly and nobody would notice; so each type
of layer is compared in the first pass, and again when a text is longer than any before.
"""

from typing import Any

import torch
from torch import Tensor

from midstream.engine.anatomy import Anatomy
from midstream.engine.call import Call
from midstream.engine.placement import Group
from midstream.errors import InputError


class Witness:
    """Remembers up to which length each type of layer was found to be read rightly."""

    def __init__(self, anatomy: Anatomy, base: Group) -> None:
        self.anatomy, self.base = anatomy, base
        self._longest: dict[str, int] = {}

    def compare(self, call: Call, layer: int, given: Any, hidden_BWD: Tensor) -> None:
        """Compare the mask that a layer was `given` by the stack with the engine's own.

        Raises:
            InputError: they let different columns be read.
        """
        kind, layout = self.anatomy.kinds[layer], call.layout(self.base)
        if call.start or torch.compiler.is_compiling() or self._longest.get(kind, 0) >= layout.width:
            return
        hidden = hidden_BWD[:, :1].expand(-1, layout.width, -1)
        made = self.anatomy.masks(layer, hidden, call.mask(self.base), call.cache, call.positions(self.base))
        both = [_readable(mask, layout.width, hidden.device) for mask in (given, made.get("attention_mask"))]
        if given is not None and both[0] is not None and given.dtype == torch.bool and _is_float(made):
            both[0] = ~both[0]  # MPT: true where nothing may be read
        if both[0] is not None and both[1] is not None:
            valid_BW = layout.valid_BW
            differs = (both[0] != both[1]).any(1) & (valid_BW[:, :, None] & valid_BW[:, None]).tril()
            if bool(differs.any()):
                row, query, key = differs.nonzero()[0].tolist()
                raise InputError(
                    f"the LM masks layer {layer} otherwise than layers of type {kind!r} are (row {row}, column {query} "
                    f"reading column {key}), so tokens would be misread there; it cannot be driven as it is configured"
                )
        self._longest[kind] = layout.width


def _is_float(made: dict[str, Any]) -> bool:
    mask = made.get("attention_mask")
    return isinstance(mask, Tensor) and mask.is_floating_point()


def _readable(mask: Any, width: int, device: torch.device) -> Tensor | None:
    """Which columns a mask lets each column read, (B, heads or 1, W, W); None where it cannot be told."""
    if mask is None:
        return torch.ones(1, 1, width, width, dtype=torch.bool, device=device)
    if not isinstance(mask, Tensor) or mask.dim() not in (2, 4) or mask.shape[-1] < width:
        return None
    mask = mask[:, None, None] if mask.dim() == 2 else mask
    open_ = mask > torch.finfo(mask.dtype).min / 2 if mask.is_floating_point() else mask.bool()
    return open_.expand(-1, -1, width, -1)[..., :width]
