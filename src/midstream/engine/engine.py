"""`Engine`: makes an unmodified Hugging Face decoder follow the schedules. The LM's own forward runs:

Engine.run
|- items, layouts, key masks, positions          (placement; nothing is mutated)
|- tokens that live in layer 0 join the input embeddings
`- lm.forward
   |- layer i pre-hook: tokens join, leave or are rewritten; mask, positions and rotary for what stands there now
   |- last layer hook, stack hook: the tokens are taken out again
   `- the head gives logits for each text column, and no others
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from midstream.engine.anatomy import Anatomy, dissect
from midstream.engine.caching import carrying, fresh, named, returned, text_in, told_padding
from midstream.engine.call import POSITION_RULES, Call, Memory, underway
from midstream.engine.checks import check_call, check_routing, check_slots, text_mask
from midstream.engine.junctions import LayerHook, PlaceHook, PutBack, TakeOut
from midstream.engine.limits import check_layers, check_states
from midstream.engine.masks import opened
from midstream.engine.outer import Outer
from midstream.engine.placement import Cargo, Group, Layout, positions_from_mask
from midstream.engine.reading import spare_queries
from midstream.engine.splicing import drop, splice
from midstream.engine.witness import Witness
from midstream.errors import InputError
from midstream.schedule import Keep, Schedule


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
        check_routing(self.anatomy, self.schedules)
        check_layers(self.anatomy, self.schedules)
        self.positions = positions
        self.groups = self._groups("active", "readable", "parked")
        self.seen = self._groups("active", "readable")
        self.active = self._groups("active")
        self.undropped: tuple[Group, ...] = tuple(
            tuple((name, cut - (self.keep_at(name, layer) is not None)) for name, cut in group)
            for layer, group in enumerate(self.groups)
        )
        self.union: Group = tuple((name, 0) for name in self.schedules)  # in the order of each group: it breaks ties
        self.asks: dict[int, tuple[tuple[str, int], ...]] = {  # layer -> of what, and at which layer it is kept
            layer: asked
            for layer in range(depth)
            if (asked := tuple((n, k.layer) for n, s in self.schedules.items() for k in s.keeps if k.looks_at == layer))
        }
        self.previewed: Mapping[int, Group] = {
            layer: tuple(
                m for m in self.undropped[layer] if self.schedules[m[0]].state(layer) in ("active", "readable")
            )
            for layer, asked in self.asks.items()
            if layer in (of for _, of in asked)
        }
        self.counted = {self.anatomy.place_in_cache(layer): self.seen[layer] for layer in self.anatomy.counted}
        self.witness = Witness(self.anatomy, self.groups[0])
        self.traced: Call | None = None
        self._handles: list[Any] = []
        self.attach()

    def _groups(self, *states: str) -> tuple[Group, ...]:
        """For each layer, the modalities that are in one of `states` there."""
        return tuple(
            tuple(
                (name, schedule.cuts(layer))
                for name, schedule in self.schedules.items()
                if schedule.state(layer) in states
            )
            for layer in range(len(self.anatomy.layers))
        )

    def keep_at(self, name: str, layer: int) -> Keep | None:
        """What is dropped of a modality at the input of `layer`."""
        return next((keep for keep in self.schedules[name].keeps if keep.layer == layer), None)

    @property
    def can_cache(self) -> bool:
        """Whether what is read stays as it is when more text comes: not so under eP-ALM's published mask."""
        return all(schedule.reach != "all" for schedule in self.schedules.values())

    def needs_cache(self, layer: int) -> bool:
        """Whether the layer is lent a cache of the engine's own, even in training."""
        return self.active[layer] != self.seen[layer] or layer in self.asks

    def attach(self) -> None:
        """Hang the hooks into the LM; what `detach` took away comes back."""
        for index, layer in enumerate(self.anatomy.layers):
            self._handles.append(layer.register_forward_pre_hook(LayerHook(self, index), with_kwargs=True))
            if self.active[index] != self.groups[index]:
                self._handles.append(layer.register_forward_hook(PutBack(self, index)))
            if self.needs_cache(index):
                self._handles += spare_queries(layer)
        if self.anatomy.places is not None:
            hook = PlaceHook(self)
            self._handles.append(self.anatomy.places.register_forward_pre_hook(hook.before, with_kwargs=True))
            self._handles.append(self.anatomy.places.register_forward_hook(hook.after))
        first, last = self.groups[0], self.groups[-1]
        self._handles.append(self.anatomy.layers[-1].register_forward_hook(TakeOut(self, last, first)))
        self._handles.append(self.anatomy.stack.register_forward_hook(TakeOut(self, first, ())))

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
        asking_columns: Tensor | None = None,
        outer: Outer | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the LM's forward with `cargo` on board.

        Args:
            lm: the LM (or what wraps it, e.g. PEFT).
            cargo: modality name -> tokens; empty for text alone, which is then exactly the plain LM.
            attention_mask: (B, past + T) padding mask, or None when nothing is padded.
            position_ids: used only when there is no cargo, now or in the cache.
            asking_columns: (B,) the text column whose attention decides which tokens are kept, counted from the very
                start; None is the last of each row.
            outer: what a model around the LM has decided; used only with cargo, now or in the cache.

        Returns:
            The LM's output, with one position for each of the T text columns.

        Raises:
            InputError: a slot lies outside the text, or the cache does not belong to these schedules.
        """
        if not isinstance(kwargs.get("logits_to_keep"), Tensor) and not kwargs.get("logits_to_keep"):
            kwargs.pop("logits_to_keep", None)  # the default; not every LM knows the word
        if self.anatomy.cache_name is None:
            kwargs.pop("use_cache", None)
        text = input_ids if input_ids is not None else inputs_embeds
        assert text is not None, "the LM needs input_ids or inputs_embeds"
        past_key_values = carrying(past_key_values)
        memory = Memory.of(past_key_values)
        if not cargo and memory is None:
            if position_ids is None and self.anatomy.takes_positions:
                position_ids = self._text_positions(text, attention_mask, past_key_values)
            if position_ids is not None:
                kwargs["position_ids"] = position_ids
            if self.anatomy.reads_padding:
                kwargs["attention_mask"] = attention_mask
            return lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                **named(self.anatomy, past_key_values),
                **kwargs,
            )
        if memory and not torch.compiler.is_compiling():
            memory = memory.in_step_with(past_key_values, self.counted)
            memory.attach(past_key_values)
        past = memory.text_length if memory else text_in(past_key_values, attention_mask, text.shape[1])
        mask_BK = text_mask(attention_mask, text, past)
        if kwargs.get("use_cache") and past_key_values is None:
            past_key_values = fresh(self.anatomy)
        if not torch.compiler.is_compiling():
            check_slots(cargo, mask_BK)
        call = Call(self, cargo, mask_BK, text.shape[1], past_key_values, asking_columns, outer)
        check_call(self.anatomy, self.schedules, call)
        if self.anatomy.stateful and not torch.compiler.is_compiling():
            check_states(self.anatomy, call, self.groups, kwargs.get("use_cache") is not False)
        base = self.groups[0]
        if base and cargo:  # what lives in layer 0 is ordinary concatenation with the embeddings, for any LM
            if inputs_embeds is None:
                inputs_embeds = self.anatomy.embedding(input_ids)
            inputs_embeds, input_ids = drop(self, call, 0, splice(self, call, 0, inputs_embeds, ())), None
        if outer is not None:
            kwargs["position_ids"] = outer.positions(call.layout(base).items_BW)
        elif self.anatomy.takes_positions:
            kwargs["position_ids"] = call.positions(base) + self.anatomy.first_position
        with underway(self, call):
            output = lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                **told_padding(self.anatomy, call.mask(base), call.layout(base).width),
                **named(self.anatomy, past_key_values),
                **kwargs,
            )
        kept = returned(self.anatomy, output) if past_key_values is None else past_key_values
        if kept is not None:
            call.memory().attach(kept)
        return output

    def masks(self, call: Call, layer: int, hidden: Tensor) -> dict[str, Any]:
        """The mask arguments of a layer for a query at each place of the sequence that it sees."""
        seen = self.seen[layer]
        width = call.layout(seen).width
        alike = hidden if hidden.shape[1] == width else hidden[:, :1].expand(-1, width, -1)
        masks = self.anatomy.masks(layer, alike, call.mask(seen), call.cache, call.positions(seen))
        if (call.cargo and self.reaches(layer)) or call.opens:
            kind = self.anatomy.kinds[layer]
            masks["attention_mask"] = opened(call, seen, self.schedules, kind, masks["attention_mask"])
        return masks

    def reaches(self, layer: int) -> bool:
        """Whether a modality that is active in the layer reads more than what stands before."""
        return any(self.schedules[name].reach != "causal" for name, _ in self.active[layer])

    def stand_in(
        self,
        call: Call,
        layer: int,
        bound: dict[str, Any],
        hidden: Tensor,
        layout: Layout,
        among: Group,
        places: Tensor | None = None,
    ) -> dict[str, Any]:
        """The arguments of `layer` for a sequence of its own: the items of `layout`, or those at some places of it."""
        items = layout.items_BW if places is None else layout.items_BW.gather(1, places)
        positions = call.positions_of(items, among)
        changed: dict[str, Any] = {self.anatomy.arguments[layer][0]: hidden}
        if "position_ids" in bound:
            changed["position_ids"] = positions
        if bound.get("position_embeddings") is not None:
            changed["position_embeddings"] = self.anatomy.rotary_embeddings(
                self.anatomy.kinds[layer], hidden, call.rotary_of(items, among)
            )
        return bound | changed

    def _text_positions(self, text: Tensor, attention_mask: Tensor | None, cache: Any) -> Tensor | None:
        """What `generate` passes for text; without padding and cache the LM counts by itself, with a cache not each."""
        if attention_mask is not None:
            positions = positions_from_mask(attention_mask, text.shape[1])
        elif cache is not None:
            positions = (torch.arange(text.shape[1], device=text.device) + cache.get_seq_length())[None]
        else:
            return None
        return positions + self.anatomy.first_position
