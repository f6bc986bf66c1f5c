"""The hooks: at each layer whose live tokens differ from the text, splice, widen masks and positions, take out.

Hooks are pure functions of (layer input, this call), because gradient checkpointing may run them again in backward.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from midstream.engine.call import Call, current
from midstream.engine.placement import Group, gather_rows

if TYPE_CHECKING:
    from midstream.engine.engine import Engine


class LayerHook:
    """Pre-hook of one decoder layer."""

    def __init__(self, engine: "Engine", layer: int) -> None:
        self.engine, self.layer = engine, layer
        self.group, self.base = engine.groups[layer], engine.groups[0]
        self.before = engine.groups[layer - 1] if layer else self.base
        written = any(schedule.level_written_at(layer) is not None for schedule in engine.schedules.values())
        self.rewrites = layer > 0 and (written or self.group != self.before)
        measured = engine.groups[engine.anatomy.measured_layer(layer)]
        self.widens = self.group != self.base or measured != self.base  # else the stack's own mask fits
        self.idle = not (self.rewrites or self.widens)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current(self.engine)
        if call is None or self.idle:
            return None
        arguments = self.engine.anatomy.arguments[self.layer]
        bound = dict(zip(arguments, args, strict=False)) | kwargs
        hidden = bound[arguments[0]]
        if call.cargo and self.rewrites:
            hidden = bound[arguments[0]] = splice(self.engine, call, self.layer, hidden, self.before)
        if self.widens:
            self._widen(call, bound, hidden)
        return (), bound

    def _widen(self, call: Call, bound: dict[str, Any], hidden: Tensor) -> None:
        """Put the mask, position ids and rotary embeddings of this layer's own sequence in the layer's arguments."""
        anatomy, group = self.engine.anatomy, self.group
        kind = anatomy.kinds[self.layer]
        positions = call.positions[group]
        bound |= call.once(
            (group, "masks", kind),
            lambda: anatomy.masks(self.layer, hidden, call.masks[group], call.cache, positions),
        )
        if "position_ids" in bound:
            bound["position_ids"] = positions
        if bound.get("position_embeddings") is not None:
            bound["position_embeddings"] = call.once(
                (group, "rotary", kind), lambda: anatomy.rotary_embeddings(kind, hidden, positions)
            )


class PlaceHook:
    """Hooks of a position embedding: where the columns stand, for an LM whose forward is not told.

    Such modules take the same positions for every row, (T,), and some of them add the row's axis; so the positions of
    all rows go in as one row, (B * T,), and what comes out is cut into rows.
    """

    def __init__(self, engine: "Engine") -> None:
        self.engine, self.group = engine, engine.groups[0]

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The pre-hook."""
        call = current(self.engine)
        return None if call is None else (args, kwargs | {"position_ids": call.positions[self.group].flatten()})

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        """The hook."""
        call = current(self.engine)
        return None if call is None else output.reshape(*call.positions[self.group].shape, -1)


class TakeOut:
    """Hook after the last layer, and after the stack: go back to the sequence that was there before.

    The stack may insist on the length it was given (GPT-2 reshapes to it), so after the last layer its own sequence is
    restored, and what joined the embeddings leaves behind the stack.
    """

    def __init__(self, engine: "Engine", seen: Group, wanted: Group) -> None:
        self.engine, self.seen, self.wanted = engine, seen, wanted

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        call = current(self.engine)
        if call is None or self.seen == self.wanted or not call.cargo:
            return None
        sources = call.items.sources(call.layouts[self.seen], call.layouts[self.wanted], ())
        if isinstance(output, Tensor):
            return gather_rows(output, sources)
        if isinstance(output, tuple):
            return (gather_rows(output[0], sources), *output[1:])
        output.last_hidden_state = gather_rows(output.last_hidden_state, sources)
        return output


def splice(engine: "Engine", call: Call, layer: int, hidden_BWD: Tensor, before: Group) -> Tensor:
    """The hidden states that `layer` sees: tokens that left are gone, fresh or rewritten ones are in place."""
    after = engine.groups[layer]
    levels = {
        name: level
        for name in after
        if name in call.cargo and (level := engine.schedules[name].level_written_at(layer)) is not None
    }
    fresh = [call.cargo[name].level(level).to(hidden_BWD.dtype) for name, level in levels.items()]
    sources = call.items.sources(call.layouts[before], call.layouts[after], levels)
    return gather_rows(torch.cat([hidden_BWD, *fresh], dim=1), sources)
