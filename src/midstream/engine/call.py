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

from midstream.engine.outer import Outer
from midstream.engine.placement import Cargo, Group, Items, Layout, item_positions, positions_from_mask
from midstream.errors import InputError

POSITION_RULES = ("merged", "shifted", "compact")


class Owner(Protocol):
    """What a call needs of the engine that makes it."""

    groups: tuple[Group, ...]
    seen: tuple[Group, ...]
    previewed: Mapping[int, Group]
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
    """Everything the hooks need to know of one forward pass; what `once` keeps is a function of it.

    Args:
        owner: the engine; its hooks see this call and no others do.
        cargo: modality name -> tokens.
        text_mask_BK: padding mask over past and new text columns.
        length: how many of them are new.
        cache: the LM's cache, or None.
        asking_B: the text column whose attention decides which tokens are kept; None is the last of each row.
        outer: what a model around the LM has decided about the call.
    """

    def __init__(
        self,
        owner: Owner,
        cargo: dict[str, Cargo],
        text_mask_BK: Tensor,
        length: int,
        cache: Any,
        asking_B: Tensor | None = None,
        outer: Outer | None = None,
    ) -> None:
        self.owner, self.cargo, self.cache, self.outer = owner, cargo, cache, outer
        self.start = text_mask_BK.shape[1] - length
        self.items = Items(
            text_mask_BK[:, self.start :], cargo, self.start, None if outer is None else outer.present_BT
        )
        self.aside: dict[int, Tensor] = {}
        self._asking_B = asking_B
        memory = Memory.of(cache)
        self._past = memory.masks if memory else None
        self._text_mask_BK = text_mask_BK
        self._kept: dict[Any, Any] = {}

    def layout(self, group: Group, text: bool = True) -> Layout:
        """The sequence of `group` in this call."""
        if not self.cargo:
            group = ()
        return self.once(("layout", group, text), lambda: self.items.layout(group, text))

    def mask(self, group: Group) -> Tensor:
        """Which keys of a layer that sees `group` are real, past and new, (B, K)."""

        def build() -> Tensor:
            past = self._past[group] if self._past else self._text_mask_BK[:, : self.start]
            new = self.layout(group).valid_BW
            return torch.cat([past.to(new.device), new], dim=1)

        return self.once(("mask", group), build)

    def positions(self, group: Group, among: Group | None = None) -> Tensor:
        """Position ids of the sequence of `group`, (B, W), in a layer whose keys are those of `among`."""
        keys = group if among is None else among
        return self.once(("positions", group, keys), lambda: self.positions_of(self.layout(group).items_BW, keys))

    def positions_of(self, items_BQ: Tensor, among: Group) -> Tensor:
        """Position ids of some items in a layer whose keys are those of `among`, (B, Q)."""
        if self.outer is not None and (told := self.outer.counted(items_BQ)) is not None:
            return told
        if self.owner.positions != "shifted":
            return self._of_items().gather(1, items_BQ)
        layout = self.layout(among)
        counted = positions_from_mask(self.mask(among), layout.width)
        return counted.gather(1, layout.places_BU.clamp(min=0).gather(1, items_BQ))

    def rotary_of(self, items_BQ: Tensor, among: Group) -> Tensor:
        """What the rotary module is told of some items: their position ids, on each axis that it knows."""
        return self.positions_of(items_BQ, among) if self.outer is None else self.outer.rotary(items_BQ)

    @property
    def opens(self) -> bool:
        """Whether anything in this call reads beyond the causal mask in every layer."""
        return self.outer is not None and self.outer.reads is not None

    def _of_items(self) -> Tensor:
        """One position id for each item, the same in every layer, (B, U); not for the rule `shifted`."""
        union = self.owner.union
        return self.once(
            "positions",
            lambda: item_positions(
                self.items, self.owner.positions, self.mask(()), self.layout(union), self.mask(union)
            ),
        )

    def asking(self) -> Tensor:
        """The text column of this call whose attention decides which tokens are kept, (B,)."""
        if self._asking_B is not None:
            return (self._asking_B.to(self.items.keys_BU.device) - self.start).clamp(0, self.items.text_length - 1)
        valid_BT = self.items.valid_BU[:, : self.items.text_length]
        return (valid_BT * torch.arange(self.items.text_length, device=valid_BT.device)).argmax(1)

    def once(self, key: Any, build: Callable[[], Any]) -> Any:
        """Build something the first time a layer asks, and keep it for the others (and for reruns in backward)."""
        if key not in self._kept:
            self._kept[key] = build()
        return self._kept[key]

    def note(self, key: Any, value: Any) -> None:
        """Keep what one layer found for a later one; `noted` gives it back."""
        self._kept[key] = value

    def noted(self, key: Any) -> Any:
        """What an earlier layer noted."""
        return self._kept[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._kept

    def memory(self) -> Memory:
        """What the next call on the same cache needs."""
        groups = {(), self.owner.union, self.owner.groups[0], *self.owner.seen, *self.owner.previewed.values()}
        return Memory(self._text_mask_BK.shape[1], {group: self.mask(group) for group in groups})


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
