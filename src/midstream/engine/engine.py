"""`Engine`: makes an unmodified Hugging Face decoder follow the schedules. The LM's own forward runs:

Engine.run
|- items, layouts, key masks, positions          (placement; nothing is mutated)
|- tokens that live in layer 0 join the input embeddings
`- lm.forward
   |- layer i pre-hook: tokens join, leave or are rewritten; mask, positions and rotary for what stands there now
   |- last layer hook, stack hook: the tokens are taken out again
   `- the head gives logits for each text column, and no others
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from midstream.engine.anatomy import Anatomy, dissect
from midstream.engine.call import POSITION_RULES, Call, Memory, underway
from midstream.engine.junctions import LayerHook, PlaceHook, TakeOut, splice
from midstream.engine.placement import Cargo, Group, positions_from_mask
from midstream.errors import InputError
from midstream.schedule import Schedule


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
        self.union: Group = tuple(self.schedules)  # in the order of each group: it breaks ties
        self.counted = {layer: self.groups[layer] for layer in self.anatomy.counted}
        self.traced: Call | None = None
        self._handles: list[Any] = []
        self._attach()

    def _attach(self) -> None:
        for index, layer in enumerate(self.anatomy.layers):
            self._handles.append(layer.register_forward_pre_hook(LayerHook(self, index), with_kwargs=True))
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
            InputError: a slot lies outside the text, or the cache does not belong to these schedules.
        """
        if not isinstance(kwargs.get("logits_to_keep"), Tensor) and not kwargs.get("logits_to_keep"):
            kwargs.pop("logits_to_keep", None)  # the default; not every LM knows the word
        text = input_ids if input_ids is not None else inputs_embeds
        assert text is not None, "the LM needs input_ids or inputs_embeds"
        memory = Memory.of(past_key_values)
        if not cargo and memory is None:
            if position_ids is None and self.anatomy.takes_positions:
                position_ids = self._text_positions(text, attention_mask, past_key_values)
            if position_ids is not None:
                kwargs["position_ids"] = position_ids
            return lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                **kwargs,
            )
        if memory and not torch.compiler.is_compiling():
            memory = memory.in_step_with(past_key_values, self.counted)
            memory.attach(past_key_values)
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
            inputs_embeds, input_ids = splice(self, call, 0, inputs_embeds, ()), None
        if self.anatomy.takes_positions:
            kwargs["position_ids"] = call.positions[base] + self.anatomy.first_position
        with underway(self, call):
            output = lm(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                attention_mask=call.masks[base],
                past_key_values=past_key_values,
                **kwargs,
            )
        if past_key_values is not None:
            call.memory().attach(past_key_values)
        return output

    def _text_positions(self, text: Tensor, attention_mask: Tensor | None, cache: Any) -> Tensor | None:
        """What `generate` passes for text; without padding and cache the LM counts by itself, with a cache not each."""
        if attention_mask is not None:
            positions = positions_from_mask(attention_mask, text.shape[1])
        elif cache is not None:
            positions = (torch.arange(text.shape[1], device=text.device) + cache.get_seq_length())[None]
        else:
            return None
        return positions + self.anatomy.first_position


def _text_mask(attention_mask: Tensor | None, text: Tensor, past: int) -> Tensor:
    if attention_mask is None:
        return torch.ones(text.shape[0], past + text.shape[1], dtype=torch.bool, device=text.device)
    if attention_mask.shape[1] != past + text.shape[1]:
        raise InputError(
            f"attention_mask has {attention_mask.shape[1]} columns, but the cache holds {past} text columns and "
            f"{text.shape[1]} are new; it must cover both"
        )
    return attention_mask.bool()


def _check_slots(cargo: dict[str, Cargo], text_mask_BK: Tensor) -> None:
    rows, columns = text_mask_BK.shape
    for name, load in cargo.items():
        if load.slots_BS.shape[0] != rows:
            raise InputError(f"{name}_slots has {load.slots_BS.shape[0]} rows, but the text has {rows}")
        if load.count and int(load.slots_BS.max()) >= columns:
            raise InputError(
                f"{name}_slots names column {int(load.slots_BS.max())}, but the text has columns 0..{columns - 1}; "
                f"text must follow a slot, or nothing reads its tokens"
            )
