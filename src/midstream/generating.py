"""How `generate` carries media: encoded once, slots and tokens in the first step, caches that have room for them.

Owns what of a call's arguments belongs to a modality. The parts themselves are made elsewhere.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, PreTrainedModel

from midstream.engine import Cargo, Engine, Memory
from midstream.errors import InputError
from midstream.reuse import ReadText, beginning_with


class Carrying:
    """Takes the modalities' inputs out of a call's arguments and turns them into tokens."""

    lm: PreTrainedModel
    engine: Engine
    modalities: Any  # an nn.ModuleDict of LoadedModality

    def _pop_media(self, kwargs: dict[str, Any]) -> dict[str, dict[str, Tensor]]:
        """Take the modality inputs out of `kwargs`: name -> {slots, pixel_values | features | tokens}."""
        media: dict[str, dict[str, Tensor]] = {}
        for name, modality in self.modalities.items():
            if modality.encoder is None:
                continue
            prefix = f"{name}_"
            given = {key.removeprefix(prefix): kwargs.pop(key) for key in list(kwargs) if key.startswith(prefix)}
            given = {key: value for key, value in given.items() if value is not None}
            if given and "slots" not in given:
                raise InputError(f"{name} inputs {sorted(given)} came without {name}_slots; say where they stand")
            if given:
                media[name] = given
        return media

    def _load(
        self, media: Mapping[str, Mapping[str, Tensor]], text: Tensor, attention_mask: Tensor | None, first: bool
    ) -> dict[str, Cargo]:
        cargo = {}
        for name, modality in self.modalities.items():
            if modality.encoder is None:
                if first:
                    cargo[name] = modality.everywhere(text, attention_mask)
            elif name in media and _any_filled(media[name]):
                cargo[name] = Cargo(media[name]["slots"], modality.tokens(media[name]))
        return cargo


class Generating(Carrying, GenerationMixin):
    """Transformers' generation with media on board."""

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, read: Any = None, **kwargs: Any) -> Any:
        """Hugging Face `generate`; media are encoded once, whatever the number of beams or steps.

        Args:
            read: the `ReadText` that `self.read` gave for the same text; the layers below the entry do not run again.

        Raises:
            InputError: the text or its slots are not those that were read.
        """
        media = self._pop_media(kwargs)
        for name, given in media.items():
            if _any_filled(given):
                kwargs[f"{name}_slots"] = given["slots"]
                kwargs[f"{name}_tokens"] = self.modalities[name].tokens(given)
        if self.engine.asks and kwargs.get("asking_columns") is None:  # the prompt's end asks, not what is generated
            prompt = inputs if inputs is not None else kwargs.get("input_ids", kwargs.get("inputs_embeds"))
            if prompt is not None:
                kwargs["asking_columns"] = _last_column(prompt, kwargs.get("attention_mask"))
        if self.engine.anatomy.cache_name is None:
            kwargs["use_cache"] = False
        with beginning_with(read):
            return super().generate(inputs, **kwargs)

    @torch.no_grad()
    def read(self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> ReadText:
        """Read a text once, to ask it of many pictures: `generate(**inputs, read=...)`.

        Args:
            kwargs: modality inputs as in `forward`; only their slots and their number of tokens count.

        Raises:
            InputError: something enters at layer 0.
        """
        media = self._pop_media(kwargs)
        cargo = self._load(media, input_ids, attention_mask, first=True)
        run = partial(self.engine.run, self.lm, cargo, input_ids=input_ids, attention_mask=attention_mask)
        return ReadText.of(self.engine, run, input_ids, attention_mask, cargo)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        is_first_iteration: bool | None = False,
        use_cache: bool | None = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Keep the text columns that are new; media go with the first step, or with every step without a cache."""
        memory = Memory.of(kwargs.get(self.engine.anatomy.cache_name or "", past_key_values))
        if is_first_iteration and memory and next_sequence_length is not None:
            # Transformers counted what layer 0 holds, which may be more than text
            text = input_ids if kwargs.get("inputs_embeds") is None else kwargs["inputs_embeds"]
            next_sequence_length = text.shape[1] - memory.text_length
        if use_cache and not is_first_iteration:
            self._pop_media(kwargs)
        return super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            is_first_iteration=is_first_iteration,
            use_cache=use_cache,
            **kwargs,
        )

    @staticmethod
    def create_masks_for_generate(attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
        """Leave the 2-D padding mask as it is: the engine makes masks layer by layer."""
        return attention_mask

    def _prepare_cache_for_generation(self, settings: Any, model_kwargs: dict[str, Any], *args: Any) -> None:
        """A cache under the LM's name for it; none where only the LM can make one."""
        name = self.engine.anatomy.cache_name
        if not self.engine.anatomy.makes_cache:
            super()._prepare_cache_for_generation(settings, model_kwargs, *args)
        if name not in (None, "past_key_values") and (made := model_kwargs.pop("past_key_values", None)) is not None:
            model_kwargs[name] = made

    def _prepare_static_cache(self, *args: Any, max_cache_len: int, model_kwargs: dict[str, Any], **kwargs: Any) -> Any:
        """A static cache with room for the tokens beside the text."""
        media, text = self._pop_media(dict(model_kwargs)), torch.empty(1, 1, device=self.device)
        cargo = self._load(media, text, None, first=True)
        room = sum(load.count for load in cargo.values())
        return super()._prepare_static_cache(
            *args, max_cache_len=max_cache_len + room, model_kwargs=model_kwargs, **kwargs
        )

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        rest = dict(model_kwargs)
        self._pop_media(rest)
        super()._validate_model_kwargs(rest)


def _any_filled(given: Mapping[str, Tensor]) -> bool:
    """Whether any slot holds something: an encoder cannot read a batch of no pictures."""
    if torch.compiler.is_compiling():  # a compiler cannot branch on values; it is not given slots that are all empty
        return given["slots"].shape[1] > 0
    return bool((given["slots"] >= 0).any())


def _last_column(text: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The last column of each row that is no padding, (B,)."""
    if attention_mask is None:
        return torch.full((text.shape[0],), text.shape[1] - 1, device=text.device)
    return (attention_mask.bool() * torch.arange(attention_mask.shape[1], device=text.device)).argmax(1)
