"""The state of one forward pass, and how it reaches the hooks. Knows no layer and no model.

A call travels in a context variable, never on a module: threads and interleaved generations do not meet. What later
calls need of it (`Memory`) travels with the cache.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from midstream.engine.placement import (
    Cargo,
    Group,
    Items,
    Layout,
    item_positions,
    positions_from_mask,
)
from midstream.errors import InputError

POSITION_RULES = ("merged", "shifted", "compact")


class Owner(Protocol):
    """What a call needs of the engine that makes it."""

    groups: tuple[Group, ...]
    union: Group
    positions: str
    traced: "Call | None"


class Memory:
    """What later calls need of earlier ones: the key mask of every layout.

    Args:
        text_length: text columns in the cache.
        masks: for each group of live modalities, which columns of its layers' cache are real, (B, K).
    """

    def __init__(self, text_length: int, masks: dict[Group, Tensor]) -> None:
        self.text_length = text_length
        self.masks = masks

    @staticmethod
    def of(cache: Any) -> "Memory | None":
        """The memory that came with a cache, or None for one that only text has passed."""
        return getattr(cache, "midstream_memory", None)

    def in_step_with(self, cache: Any, groups: Mapping[int, Group]) -> "Memory":
        """This memory, cut to what `cache` holds: assisted decoding takes the last text columns out of every layer.

        Args:
            groups: the modalities that are live in each layer whose cache has a length.

        Raises:
            InputError: the layers lost different numbers of keys, so that what is left would be read at wrong places;
                or the cache was filled under another schedule.
        """
        if not set(self.masks) >= set(groups.values()):
            raise InputError("the cache was filled under another schedule; start again with an empty one")
        lost = {self.masks[group].shape[1] - int(cache.get_seq_length(layer)) for layer, group in groups.items()}
        if lost <= {0}:
            return self
        if len(lost) > 1 or min(lost) < 0:
            raise InputError(
                f"the layers of the cache hold {sorted(lost)} keys fewer than were put there; something cropped "
                "or filled them one by one; start again with an empty cache"
            )
        kept = -lost.pop()
        return Memory(self.text_length + kept, {group: mask[:, :kept] for group, mask in self.masks.items()})

    def attach(self, cache: Any) -> None:
        """Let `cache` carry this memory to the next call (and through deep copies)."""
        cache.midstream_memory = self


class Call:
    """Everything the hooks need to know of one forward pass; immutable once built, but for what `once` keeps.

    Args:
        owner: the engine; its hooks see this call and no others do.
        cargo: modality name -> tokens.
        text_mask_BK: padding mask over past and new text columns.
        length: how many of them are new.
        cache: the LM's cache, or None.
    """

    def __init__(self, owner: Owner, cargo: dict[str, Cargo], text_mask_BK: Tensor, length: int, cache: Any) -> None:
        self.owner, self.cargo, self.cache = owner, cargo, cache
        memory = Memory.of(cache)
        start = text_mask_BK.shape[1] - length
        self.items = Items(text_mask_BK[:, start:], cargo, start)
        self.layouts: dict[Group, Layout] = {}
        self.masks: dict[Group, Tensor] = {}
        for group in {*owner.groups, (), owner.union}:
            layout = self.items.layout(group)
            past = memory.masks[group] if memory else text_mask_BK[:, :start]
            self.layouts[group] = layout
            self.masks[group] = torch.cat([past.to(layout.valid_BW.device), layout.valid_BW], dim=1)
        self.positions = self._positions(owner.positions, owner.union)
        self._kept: dict[Any, Any] = {}

    def _positions(self, rule: str, union: Group) -> dict[Group, Tensor]:
        if rule == "shifted":
            return {
                group: positions_from_mask(self.masks[group], layout.items_BW.shape[1])
                for group, layout in self.layouts.items()
            }
        of_items = item_positions(self.items, rule, self.masks[()], self.layouts[union], self.masks[union])
        return {group: of_items.gather(1, layout.items_BW) for group, layout in self.layouts.items()}

    def once(self, key: Any, build: Callable[[], Any]) -> Any:
        """Build a mask or rotary embedding the first time a layer of its kind asks, and keep it for the others."""
        if key not in self._kept:
            self._kept[key] = build()
        return self._kept[key]

    def memory(self) -> Memory:
        """What the next call on the same cache needs."""
        return Memory(self.masks[()].shape[1], self.masks)


_CALL: ContextVar[Call | None] = ContextVar("midstream_call", default=None)


@contextmanager
def underway(owner: Owner | None, call: Call | None) -> Iterator[None]:
    """Let the hooks of `owner` see `call`.

    A compiler cannot trace context variables; what it traces never runs again, so there an attribute serves as well.
    """
    if owner is not None and torch.compiler.is_compiling():
        owner.traced = call
        try:
            yield
        finally:
            owner.traced = None
        return
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)


def current(owner: Owner) -> Call | None:
    """The call of `owner` that is under way in this thread, or None.

    Raises:
        RuntimeError: a layer is being rerun in backward, and the call of its first run is not known.
    """
    if torch.compiler.is_compiling():
        return owner.traced
    call = _CALL.get()
    if call is None and torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "gradient checkpointing reran a decoder layer outside its call; "
            "enable it with gradient_checkpointing_enable() of the Midstream model, not of the LM"
        )
    return call if call is not None and call.owner is owner else None


def rerunnable(layer: nn.Module, checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    """A checkpointing function for a frozen layer: the second run, in backward, sees the call of the first.

    Transformers checkpoints only layers in training mode, so the layer's flag is up outside and down inside: a frozen
    layer must not apply dropout.
    """

    def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = _CALL.get()

        def inside(*inner: Any, **inner_kwargs: Any) -> Any:
            gate, layer.training = layer.training, False
            try:
                with underway(None, call):
                    return function(*inner, **inner_kwargs)
            finally:
                layer.training = gate

        return checkpoint(inside, *args, **kwargs)

    return run
