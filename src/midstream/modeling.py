"""`MidstreamForCausalLM`: a frozen LM, frozen encoders and trained connectors as one Hugging Face model.

To the outside it is a text LM: logits, labels, loss and `generate` have the text's length. The modalities of a call
arrive as keyword arguments named after them, batch first, so that beams expand them like everything else:

    image_slots         (B, S)              text column before which each slot stands; -1 for none
    image_pixel_values  (B, S, C, H, W)     what the encoder reads, or
    image_features      (B, S, V, P, E)     what the encoder would have given, or
    image_tokens        (B, S, V, K, D)     what the connector would have given
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationMixin, PreTrainedModel

from midstream.adapters import inject, is_adapter
from midstream.checkpoint import check_fingerprint, fingerprint, load_weights
from midstream.configuration import MidstreamConfig, load_config, resolve
from midstream.engine import Cargo, Engine, is_empty
from midstream.errors import InputError
from midstream.generating import Generating
from midstream.modality import LoadedModality, Modality, load_lm
from midstream.recomputing import Recomputing
from midstream.reuse import was_read
from midstream.saving import Saving, trained_for
from midstream.schedule import Schedule

IGNORED = -100
"""The label of a column that is not learnt."""


class MidstreamForCausalLM(Saving, Recomputing, Generating, GenerationMixin):
    """A causal LM with more senses. Build it with `from_parts` or `from_pretrained`.

    Only the connectors are trained and saved. The LM and the encoders take no gradient and stay in eval mode.

    Args:
        config: names of the parts; `text_config` is the LM's.
        lm: an unmodified Hugging Face causal LM.
        modalities: name -> encoder and connector.
    """

    config_class = MidstreamConfig
    base_model_prefix = "lm"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: MidstreamConfig, lm: PreTrainedModel, modalities: Mapping[str, LoadedModality]) -> None:
        super().__init__(config)
        self.lm = lm.requires_grad_(False)
        for name, parameter in lm.named_parameters():
            if config.adapters and is_adapter(name):
                parameter.requires_grad_(True)
        self.modalities = nn.ModuleDict(modalities)
        schedules = {name: Schedule.from_dict(part["schedule"]) for name, part in (config.modalities or {}).items()}
        self.engine = Engine(lm, schedules, config.positions)
        self.generation_config = lm.generation_config
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        self._keys_to_ignore_on_save = [name for name in self.state_dict() if name not in trained]
        self.train(False)

    @classmethod
    def from_parts(
        cls,
        lm: str | Path | PreTrainedModel,
        positions: str = "merged",
        adapters: Mapping[str, Any] | None = None,
        **modalities: Modality,
    ) -> "MidstreamForCausalLM":
        """Join a language model and modalities.

        Args:
            lm: a hub id, a local folder, a loaded model, or "pocket" for the small one that ships with Midstream.
            positions: "merged", "shifted" or "compact".
            adapters: LoRA or IA3 in the LM's layers, trained with the connectors; see `midstream.adapters.inject`.
            modalities: name -> encoder, connector and schedule; the name is the slot's, `<image>` for `image`.

        Raises:
            InputError: a part cannot be loaded, or does not fit the others.
        """
        model = load_lm(lm)
        made_of = fingerprint(model)
        engine = Engine(model, {name: modality.schedule for name, modality in modalities.items()}, positions)
        engine.detach()
        _adapt(model, engine, adapters)
        loaded = {name: modality.build(name, engine.anatomy) for name, modality in modalities.items()}
        name = str(lm) if isinstance(lm, str | Path) else model.name_or_path
        config = MidstreamConfig(
            lm=name,
            lm_fingerprint=made_of,
            text_config=_own_copy(model, name),
            modalities={name: modality.to_dict(name, loaded[name]) for name, modality in modalities.items()},
            positions=positions,
            adapters=dict(adapters) if adapters else None,
        )
        return cls(config, model, loaded)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        lm: str | Path | PreTrainedModel | None = None,
        encoders: Mapping[str, str | Path | PreTrainedModel] | None = None,
        config: MidstreamConfig | None = None,
        **options: Any,
    ) -> "MidstreamForCausalLM":
        """Load connectors and the frozen parts they were trained against.

        Args:
            source: a folder or hub id made by `save_pretrained`, or "pocket".
            lm: where the LM is now, when not where the config says.
            encoders: the same for encoders, by modality.
            config: read already, as the Auto classes do.
            options: passed on to the LM's `from_pretrained` (dtype, device_map, quantization_config, ...).

        Raises:
            InputError: the LM or an encoder is another one than at training; the message names both.
        """
        config = config or load_config(source)
        tensors = load_weights(str(resolve(source)), trained_for(config))
        return cls.assemble(config, tensors, str(source), lm, encoders, **options)

    @classmethod
    def assemble(
        cls,
        config: MidstreamConfig,
        tensors: Mapping[str, Tensor],
        source: str,
        lm: str | Path | PreTrainedModel | None = None,
        encoders: Mapping[str, str | Path | PreTrainedModel] | None = None,
        **options: Any,
    ) -> "MidstreamForCausalLM":
        """The parts that a config names, with trained tensors put in place; see `from_pretrained`.

        Args:
            tensors: of all connectors, by name.
            source: where they come from, for messages.
        """
        model = load_lm(lm or config.lm, **options)
        given = str(lm if isinstance(lm, str | Path) else model.name_or_path) if lm is not None else config.lm
        check_fingerprint(model, config.lm_fingerprint or {}, "language model", config.lm, given)
        config.text_config = _own_copy(model, config.lm)
        parts = config.modalities or {}
        engine = Engine(model, {name: Schedule.from_dict(part["schedule"]) for name, part in parts.items()})
        engine.detach()
        _adapt(model, engine, config.adapters)
        loaded = {
            name: Modality.from_dict(part, (encoders or {}).get(name)).build(
                name, engine.anatomy, part.get("fingerprint")
            )
            for name, part in parts.items()
        }
        joined = cls(config, model, loaded)
        joined.load_trained(tensors, source)
        return joined

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        asking_columns: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """The LM's own forward with the modalities of this call on board.

        Args:
            input_ids: (B, T) text only; a slot takes no column.
            attention_mask: (B, past + T), 0 at padding.
            labels: (B, T), -100 where no loss is wanted.
            asking_columns: (B,) the text column whose attention decides which tokens a schedule keeps. By default the
                last of each row; with labels the last before the first label, so that no answer is looked ahead at.
            kwargs: modality inputs (see the module's docstring); the rest goes to the LM.

        Returns:
            The LM's output; `logits` is (B, T or logits_to_keep, vocabulary).

        Raises:
            InputError: slots without media, media without slots, or a slot outside the text.
        """
        if (own := kwargs.pop(self.engine.anatomy.cache_name or "", None)) is not None:
            past_key_values = own  # under the LM's name for it
        media = self._pop_media(kwargs)
        text = input_ids if input_ids is not None else inputs_embeds
        if text is None:
            raise InputError("give input_ids or inputs_embeds; there is no text to read")
        first = is_empty(past_key_values)
        cargo = self._load(media, text, attention_mask, first)
        extra: dict[str, Any] = {"labels": labels} if labels is not None else {}
        if asking_columns is None and labels is not None and self.engine.asks:
            asking_columns = question_ends(labels)
        if use_cache is None and labels is not None:
            use_cache = False  # a training step has no use for keys and values
        run = partial(
            self.engine.run,
            self.lm,
            cargo,
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            asking_columns=asking_columns,
            **extra,
            **kwargs,
        )
        read = was_read() if first else None
        output = run() if read is None else read.begin(self.engine, self.lm, run, input_ids, attention_mask, cargo)
        if labels is not None and torch.is_grad_enabled() and getattr(output, "loss", None) is not None:
            output.loss = output.loss + self._nothing_of_the_absent(cargo)
        return output

    def _nothing_of_the_absent(self, cargo: Mapping[str, Cargo]) -> Tensor | float:
        """Zero, by way of the connectors that this batch does not use.

        So a batch of text alone has a backward too, and under DDP all processes bring gradients of all parameters.
        """
        absent = [modality.connector for name, modality in self.modalities.items() if name not in cargo]
        return sum((0.0 * parameter.sum() for connector in absent for parameter in connector.parameters()), 0.0)

    def get_input_embeddings(self) -> nn.Module:
        """The LM's."""
        return self.lm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The LM's."""
        return self.lm.get_output_embeddings()


def question_ends(labels_BT: Tensor) -> Tensor:
    """The last column of each row before the first label, (B,)."""
    return ((labels_BT != IGNORED).int().argmax(1) - 1).clamp(min=0)


def _adapt(lm: PreTrainedModel, engine: Engine, adapters: Mapping[str, Any] | None) -> None:
    """Put trained adapters into the LM where they are wanted."""
    if adapters:
        lowest = min((schedule.enter for schedule in engine.schedules.values()), default=0)
        inject(lm, engine.anatomy.layers, adapters, lowest)


def _own_copy(lm: Any, name: str) -> Any:
    """The LM's config, to keep: a copy, since Transformers writes into sub-configs, under the name the LM goes by."""
    config = deepcopy(lm.config)
    config.name_or_path = name  # else the shipped LM's folder on this machine would be saved
    return config


for _auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
    _auto.register(MidstreamConfig, MidstreamForCausalLM, exist_ok=True)
