"""The hooks: at each layer whose live tokens differ from the text, splice, widen masks and positions, take out.

The LM's own forward runs. What happens in one call:

    Engine.run
    |- items, layouts, key masks, positions          (placement; nothing is mutated)
    |- tokens that live in layer 0 join the input embeddings
    `- lm.forward
       |- layer i pre-hook: tokens join, leave or are rewritten; mask, positions and rotary for what stands there now
       |- last layer hook, stack hook: the tokens are taken out again
    `- the head gives logits for each text column, and no others

Hooks are pure functions of (layer input, this call), because gradient checkpointing runs them again in backward.
The call travels in a context variable, never on the module: threads and interleaved generations do not meet.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from midstream.engine.anatomy import Anatomy, dissect
from midstream.engine.placement import (
    Cargo,
    Group,
    Items,
    Layout,
    gather_rows,
    item_positions,
    ordered_union,
    positions_from_mask,
)
from midstream.errors import InputError
from midstream.schedule import Schedule

POSITION_RULES = ("merged", "shifted", "compact")

_CALL: ContextVar["Call | None"] = ContextVar("midstream_call", default=None)


class Memory:
    """What later calls need of earlier ones: the key mask of every layout. It travels with the cache.

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

    def attach(self, cache: Any) -> None:
        """Let `cache` carry this memory to the next call (and through deep copies)."""
        cache.midstream_memory = self


class Call:
    """Everything the hooks need to know of one forward pass; immutable once built, but for memoised masks."""

    def __init__(
        self, engine: "Engine", cargo: dict[str, Cargo], text_mask_BK: Tensor, length: int, cache: Any
    ) -> None:
        self.engine, self.cargo, self.cache = engine, cargo, cache
        memory = Memory.of(cache)
        if memory and not set(memory.masks) >= set(engine.groups):
            raise InputError("the cache was filled under another schedule; start again with an empty one")
        start = text_mask_BK.shape[1] - length
        self.items = Items(text_mask_BK[:, start:], cargo, start)
        union = ordered_union(engine.groups)
        self.layouts: dict[Group, Layout] = {}
        self.masks: dict[Group, Tensor] = {}
        for group in {*engine.groups, (), union}:
            layout = self.items.layout(group)
            past = memory.masks[group] if memory else text_mask_BK[:, :start]
            self.layouts[group] = layout
            self.masks[group] = torch.cat([past.to(layout.valid_BW.device), layout.valid_BW], dim=1)
        self.positions: dict[Group, Tensor] = {}
        if engine.positions != "shifted":
            of_items = item_positions(
                self.items, engine.positions, self.masks[()], self.layouts[union], self.masks[union]
            )
        for group, layout in self.layouts.items():
            if engine.positions == "shifted":
                self.positions[group] = positions_from_mask(self.masks[group], layout.items_BW.shape[1])
            else:
                self.positions[group] = of_items.gather(1, layout.items_BW)
        self._built: dict[Any, Any] = {}

    def once(self, key: Any, build: Callable[[], Any]) -> Any:
        """Build a mask or rotary embedding the first time a layer of its kind asks."""
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def memory(self) -> Memory:
        """What the next call on the same cache needs."""
        return Memory(self.masks[()].shape[1], self.masks)


class Engine:
    """Drives one LM by the schedules of its modalities, through hooks that do nothing outside `run`.

    Args:
        lm: an unmodified Hugging Face causal LM.
        schedules: modality name -> schedule; the order breaks ties between slots at one text column.
        positions: `merged` (one count over text and tokens in all layers), `shifted` (each layer counts what it
            sees) or `compact` (text counts text only; tokens share ids with it).

    Raises:
        InputError: the LM cannot be driven, or a schedule names a layer it does not have.
    """

    def __init__(self, lm: PreTrainedModel, schedules: dict[str, Schedule], positions: str = "merged") -> None:
        if positions not in POSITION_RULES:
            raise InputError(f"positions={positions!r}; choose one of {list(POSITION_RULES)}")
        self.anatomy: Anatomy = dissect(lm)
        depth = len(self.anatomy.layers)
        self.schedules = {name: schedule.validate(depth, name) for name, schedule in schedules.items()}
        self.positions = positions
        self.groups: tuple[Group, ...] = tuple(
            tuple(name for name, schedule in self.schedules.items() if schedule.is_live(layer))
            for layer in range(depth)
        )
        self.traced: Call | None = None
        self._handles: list[Any] = []
        self._attach()

    def _attach(self) -> None:
        for index, layer in enumerate(self.anatomy.layers):
            hook = _LayerHook(self, index)
            self._handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
        first, last = self.groups[0], self.groups[-1]
        self._handles.append(self.anatomy.layers[-1].register_forward_hook(_TakeOut(self, last, first)))
        self._handles.append(self.anatomy.stack.register_forward_hook(_TakeOut(self, first, ())))

    def detach(self) -> None:
        """Remove every hook; the LM is what it was before."""
        while self._handles:
            self._handles.pop().remove()

    def run(
        self,
        lm: Callable[..., Any],
        cargo: dict[str, Cargo],
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the LM's forward with `cargo` on board.

        Args:
            lm: the LM (or what wraps it, e.g. PEFT).
            cargo: modality name -> tokens; empty for text alone, which is then exactly the plain LM.
            attention_mask: (B, past + T) padding mask, or None when nothing is padded.
            position_ids: used only when there is no cargo, now or in the cache.

        Returns:
            The LM's output, with one position for each of the T text columns.

        Raises:
            InputError: a slot lies outside the text.
        """
        text = input_ids if input_ids is not None else inputs_embeds
        assert text is not None, "the LM needs input_ids or inputs_embeds"
        memory = Memory.of(past_key_values)
        if not cargo and memory is None:
            positions = position_ids if position_ids is not None else _text_positions(attention_mask, text.shape[1])
            if positions is not None:
                kwargs["position_ids"] = positions
            return lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                **kwargs,
            )
        past = memory.text_length if memory else int(past_key_values.get_seq_length()) if past_key_values else 0
        text_mask = _text_mask(attention_mask, text, past)
        if kwargs.get("use_cache") and past_key_values is None:
            past_key_values = DynamicCache(config=self.anatomy.config)
        if not torch.compiler.is_compiling():
            _check_slots(cargo, text_mask)
        call = Call(self, cargo, text_mask, text.shape[1], past_key_values)
        base = self.groups[0]
        if base and cargo:  # what lives in layer 0 is ordinary concatenation with the embeddings, for any LM
            if inputs_embeds is None:
                inputs_embeds = self.anatomy.embedding(input_ids)
            inputs_embeds, input_ids = self.splice(call, 0, inputs_embeds, ()), None
        with _underway(self, call):
            output = lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                attention_mask=call.masks[base],
                position_ids=call.positions[base],
                past_key_values=past_key_values,
                **kwargs,
            )
        if past_key_values is not None:
            call.memory().attach(past_key_values)
        return output

    def splice(self, call: Call, layer: int, hidden_BWD: Tensor, before: Group) -> Tensor:
        """The hidden states that `layer` sees: tokens that left are gone, fresh or rewritten ones are in place."""
        after = self.groups[layer]
        levels = {
            name: level
            for name in after
            if name in call.cargo and (level := self.schedules[name].level_written_at(layer)) is not None
        }
        fresh = [call.cargo[name].level(level).to(hidden_BWD.dtype) for name, level in levels.items()]
        sources = call.items.sources(call.layouts[before], call.layouts[after], levels)
        return gather_rows(torch.cat([hidden_BWD, *fresh], dim=1), sources)


class _LayerHook:
    """Pre-hook of one decoder layer."""

    def __init__(self, engine: Engine, layer: int) -> None:
        self.engine, self.layer = engine, layer
        self.group, self.base = engine.groups[layer], engine.groups[0]
        self.before = engine.groups[layer - 1] if layer else self.base
        written = any(schedule.level_written_at(layer) is not None for schedule in engine.schedules.values())
        self.rewrites = layer > 0 and (written or self.group != self.before)
        self.idle = self.group == self.base and not self.rewrites

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _current(self.engine)
        if call is None or self.idle:
            return None
        bound = dict(zip(self.engine.anatomy.arguments, args, strict=False)) | kwargs
        hidden = bound["hidden_states"]
        if call.cargo and self.rewrites:
            hidden = bound["hidden_states"] = self.engine.splice(call, self.layer, hidden, self.before)
        if self.group != self.base:
            self._widen(call, bound, hidden)
        return (), bound

    def _widen(self, call: Call, bound: dict[str, Any], hidden: Tensor) -> None:
        """Put the mask, position ids and rotary embeddings of this layer's own sequence in the layer's arguments."""
        anatomy, group = self.engine.anatomy, self.group
        kind = anatomy.kinds[self.layer]
        positions = call.positions[group]
        bound["attention_mask"] = call.once(
            (group, "mask", kind),
            lambda: anatomy.mask(self.layer, hidden, call.masks[group], call.cache, positions),
        )
        if "position_ids" in bound:
            bound["position_ids"] = positions
        if bound.get("position_embeddings") is not None:
            bound["position_embeddings"] = call.once(
                (group, "rotary", kind), lambda: anatomy.rotary_embeddings(kind, hidden, positions)
            )


class _TakeOut:
    """Hook after the last layer, and after the stack: go back to the sequence that was there before.

    The stack may insist on the length it was given (GPT-2 reshapes to it), so after the last layer its own sequence is
    restored, and what joined the embeddings leaves behind the stack.
    """

    def __init__(self, engine: Engine, seen: Group, wanted: Group) -> None:
        self.engine, self.seen, self.wanted = engine, seen, wanted

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        call = _current(self.engine)
        if call is None or self.seen == self.wanted or not call.cargo:
            return None
        sources = call.items.sources(call.layouts[self.seen], call.layouts[self.wanted], ())
        if isinstance(output, Tensor):
            return gather_rows(output, sources)
        if isinstance(output, tuple):
            return (gather_rows(output[0], sources), *output[1:])
        output.last_hidden_state = gather_rows(output.last_hidden_state, sources)
        return output


def _current(engine: Engine) -> Call | None:
    if torch.compiler.is_compiling():
        return engine.traced
    call = _CALL.get()
    if call is None and torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "gradient checkpointing reran a decoder layer outside its call; "
            "enable it with gradient_checkpointing_enable() of the Midstream model, not of the LM"
        )
    return call if call is not None and call.engine is engine else None


@contextmanager
def _underway(engine: Engine | None, call: Call | None) -> Iterator[None]:
    """Let the hooks see `call`. A compiler cannot trace context variables; what it traces never runs again, so there
    an attribute serves as well."""
    if engine is not None and torch.compiler.is_compiling():
        engine.traced = call
        try:
            yield
        finally:
            engine.traced = None
        return
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)


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
                with _underway(None, call):
                    return function(*inner, **inner_kwargs)
            finally:
                layer.training = gate

        return checkpoint(inside, *args, **kwargs)

    return run


def _text_mask(attention_mask: Tensor | None, text: Tensor, past: int) -> Tensor:
    if attention_mask is None:
        return torch.ones(text.shape[0], past + text.shape[1], dtype=torch.bool, device=text.device)
    if attention_mask.shape[1] != past + text.shape[1]:
        raise InputError(
            f"attention_mask has {attention_mask.shape[1]} columns, but the cache holds {past} text columns and "
            f"{text.shape[1]} are new; it must cover both"
        )
    return attention_mask.bool()


def _text_positions(attention_mask: Tensor | None, length: int) -> Tensor | None:
    """What `generate` passes for text with padding; without padding the LM counts by itself."""
    return None if attention_mask is None else positions_from_mask(attention_mask, length)


def _check_slots(cargo: dict[str, Cargo], text_mask_BK: Tensor) -> None:
    rows, columns = text_mask_BK.shape
    for name, load in cargo.items():
        if load.slots_BS.shape[0] != rows:
            raise InputError(f"{name}_slots has {load.slots_BS.shape[0]} rows, but the text has {rows}")
        if load.count and int(load.slots_BS.max()) > columns:
            raise InputError(
                f"{name}_slots names column {int(load.slots_BS.max())}, but the text has columns 0..{columns - 1}"
            )
