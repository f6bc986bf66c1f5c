"""What a model around the LM has decided about a call; the engine's own rules step back. Knows no such model.

A vision-language model counts positions by rules of its own (one for each rotary axis, perhaps), lets parts of the
prompt be read in both directions, and pads rows to the same number of columns with the media among them, so that their
texts differ in length. `Outer` carries all three to the engine. Shapes as in `midstream.engine.placement`; R rows of
position ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

AXES = 3
"""M-RoPE counts time, height and width; with a fourth row before them that counts like text."""


@dataclass(frozen=True, slots=True)
class Outer:
    """What is laid down for the items of one call.

    Args:
        positions_RBU: position ids of all items, as the LM's forward is told them: 1 row, 3 or 4 (see `AXES`).
        present_BT: False at text columns that fill up a row with fewer of them than others; they stand at its left.
        reads: layer type -> who reads whom among the items of this call beside the causal mask, (B, U, U); None for
            nobody.
    """

    positions_RBU: Tensor
    present_BT: Tensor
    reads: Mapping[str, Tensor] | None = None

    def positions(self, items_BQ: Tensor) -> Tensor:
        """Of some items, as the LM's forward takes them: (B, Q), or (R, B, Q)."""
        found = self.positions_RBU.gather(2, items_BQ.expand(len(self.positions_RBU), -1, -1))
        return found[0] if len(found) == 1 else found

    def rotary(self, items_BQ: Tensor) -> Tensor:
        """Of some items, as the rotary module takes them: (B, Q), or (3, B, Q)."""
        return self.positions(items_BQ)[-AXES:] if len(self.positions_RBU) > 1 else self.positions(items_BQ)

    def counted(self, items_BQ: Tensor) -> Tensor | None:
        """Of some items, counted like text, (B, Q); None when no row of ids is."""
        return None if len(self.positions_RBU) == AXES else self.positions_RBU[0].gather(1, items_BQ)

    def read(self, kind: str, items_BW: Tensor) -> Tensor | None:
        """Who reads whom in a sequence of these items beside the causal mask of a layer of this type, (B, W, W)."""
        if self.reads is None or kind not in self.reads:
            return None
        columns = items_BW[:, None].expand(-1, items_BW.shape[1], -1)
        reads_BUU = self.reads[kind]
        rows_BWU = reads_BUU.gather(1, items_BW[:, :, None].expand(-1, -1, reads_BUU.shape[2]))
        return torch.gather(rows_BWU, 2, columns)
