"""The hooks: at each layer whose sequence differs from the text, splice, widen masks and positions, take out.

Hooks are functions of (layer input, this call), because gradient checkpointing may run them again in backward.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from midstream.engine.call import Call, current
from midstream.engine.masks import rows_of
from midstream.engine.ordinary import EMBEDDINGS
from midstream.engine.placement import Group, gather_rows, weave
from midstream.engine.reading import Readers, cache_name, keys_and_values
from midstream.engine.splicing import ask, drop, splice

if TYPE_CHECKING:
    from midstream.engine.engine import Engine


class LayerHook:
    """Pre-hook of one decoder layer."""

    def __init__(self, engine: "Engine", layer: int) -> None:
        self.engine, self.layer = engine, layer
        self.group, self.base = engine.groups[layer], engine.groups[0]
        self.seen, self.active = engine.seen[layer], engine.active[layer]
        self.read = tuple(member for member in self.seen if member not in self.active)
        self.before = engine.groups[layer - 1] if layer else self.base
        written = any(schedule.write_at(layer) for schedule in engine.schedules.values())
        self.rewrites = layer > 0 and (written or self.group != self.before)
        measured = engine.seen[engine.anatomy.measured_layer(layer)]
        fits = self.seen == self.active == self.base == measured  # the stack's own mask
        self.widens = not fits or engine.reaches(layer)
        self.idle = self.active == self.group and not (self.rewrites or self.widens or layer in engine.asks)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current(self.engine)
        if call is None or (self.idle and not call.opens):
            return None
        name, *_ = arguments = self.engine.anatomy.arguments[self.layer]
        bound = dict(zip(arguments, args, strict=False)) | kwargs
        if call.cargo and self.rewrites:
            bound[name] = splice(self.engine, call, self.layer, bound[name], self.before)
            if self.layer in self.engine.asks:
                ask(self.engine, call, self.layer, module, bound, self.layer)
            bound[name] = drop(self.engine, call, self.layer, bound[name])
        if call.cargo and self.layer in self.engine.asks:
            ask(self.engine, call, self.layer, module, bound, self.layer + 1)
        if call.cargo and self.active != self.group:
            hidden = call.aside[self.layer] = bound[name]
            sources = call.items.sources(call.layout(self.group), call.layout(self.active), ())
            bound[name] = gather_rows(hidden, sources)
            if self.read:
                self._let_read(call, module, bound, hidden)
        if self.widens or call.opens:
            self._widen(call, bound, bound[name])
        return (), bound

    def _let_read(self, call: Call, module: nn.Module, bound: dict[str, Any], hidden: Tensor) -> None:
        """Give the layer a cache that adds keys and values of the tokens that it only reads."""
        reads, seen, active = call.layout(self.read, text=False), call.layout(self.seen), call.layout(self.active)
        if not reads.width:  # none of them came with this call
            return
        tokens = gather_rows(hidden, call.items.sources(call.layout(self.group), reads, ()))
        arguments = self.engine.stand_in(call, self.layer, bound, tokens, reads, self.seen)
        keys, values = keys_and_values(module, arguments, reads.width)
        name = cache_name(module, bound)
        bound[name] = Readers(bound[name], keys, values, weave(active, reads, seen))

    def _widen(self, call: Call, bound: dict[str, Any], hidden: Tensor) -> None:
        """Put the mask, position ids and rotary embeddings of this layer's own sequence in the layer's arguments."""
        anatomy, active, seen = self.engine.anatomy, self.active, self.seen
        kind = anatomy.kinds[self.layer]
        positions = call.positions(active, among=seen)
        given = bound.get("attention_mask")
        self.engine.witness.compare(call, self.layer, given, hidden)
        bound |= call.once((active, seen, "masks", kind), lambda: self._masks(call, hidden))
        made = bound.get("attention_mask")
        if isinstance(made, Tensor) and getattr(given, "dtype", None) == torch.bool != made.dtype:
            bound["attention_mask"] = made.bool()  # MPT: true where nothing may be read
        for name in EMBEDDINGS & bound.keys():
            bound[name] = self._embeddings(call, bound[name])
        if "position_ids" in bound:
            bound["position_ids"] = positions
        if bound.get("position_embeddings") is not None:
            bound["position_embeddings"] = call.once(
                (active, seen, "rotary", kind),
                lambda: anatomy.rotary_embeddings(kind, hidden, call.rotary_of(call.layout(active).items_BW, seen)),
            )

    def _embeddings(self, call: Call, text_BWD: Tensor) -> Tensor:
        """The input embeddings of what is active here; a token's is what it enters with."""
        fresh = [name for name, _ in self.active if name in call.cargo and (name, 0) not in self.base]
        tokens = [call.cargo[name].level(0).to(text_BWD.dtype) for name in fresh]
        sources = call.items.sources(call.layout(self.base), call.layout(self.active), fresh)
        return gather_rows(torch.cat([text_BWD, *tokens], dim=1), sources)

    def _masks(self, call: Call, hidden: Tensor) -> dict[str, Any]:
        masks = self.engine.masks(call, self.layer, hidden)
        if call.cargo and self.read:
            seen, active = call.layout(self.seen), call.layout(self.active)
            rows = seen.places_BU.clamp(min=0).gather(1, active.items_BW)
            keys = call.mask(self.seen).shape[1]
            masks["attention_mask"] = rows_of(masks["attention_mask"], rows, keys, seen.width)
        return masks


class PutBack:
    """Hook after a layer that did not change all tokens on board: the others join again, as they were."""

    def __init__(self, engine: "Engine", layer: int) -> None:
        self.engine, self.layer = engine, layer
        self.group, self.active = engine.groups[layer], engine.active[layer]

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        call = current(self.engine)
        if call is None or not call.cargo:
            return None
        whole = call.layout(self.group)
        sources = weave(call.layout(self.active), whole, whole)
        aside = call.aside.pop(self.layer)
        return _first_changed(output, lambda changed: gather_rows(torch.cat([changed, aside], dim=1), sources))


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
        return None if call is None else (args, kwargs | {"position_ids": call.positions(self.group).flatten()})

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        """The hook."""
        call = current(self.engine)
        return None if call is None else output.reshape(*call.positions(self.group).shape, -1)


class TakeOut:
    """Hook after the last layer, and after the stack: go back to the sequence that was there before.

    The stack may insist on the length it was given (GPT-2 reshapes to it), so after the last layer its own sequence is
    restored, and what joined the embeddings leaves behind the stack.
    """

    def __init__(self, engine: "Engine", on_board: Group, wanted: Group) -> None:
        self.engine, self.on_board, self.wanted = engine, on_board, wanted

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        call = current(self.engine)
        if call is None or self.on_board == self.wanted or not call.cargo:
            return None
        sources = call.items.sources(call.layout(self.on_board), call.layout(self.wanted), ())
        if not isinstance(output, Tensor | tuple | list):
            output.last_hidden_state = gather_rows(output.last_hidden_state, sources)
            return output
        return _first_changed(output, lambda hidden: gather_rows(hidden, sources))


def _first_changed(output: Any, change: Any) -> Any:
    """A layer's output with its hidden states changed."""
    return change(output) if isinstance(output, Tensor) else (change(output[0]), *output[1:])
