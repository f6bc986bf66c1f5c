"""Encoder, connector and schedule under one name: `Modality` describes them, `LoadedModality` holds the modules.

Shapes: B rows, S slots, V levels, P features, E encoder width, K tokens, D LM width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from midstream.checkpoint import check_fingerprint, fingerprint
from midstream.connectors import build_connector
from midstream.encoders import FeatureSpec, FrozenEncoder, load_encoder
from midstream.engine.anatomy import Anatomy
from midstream.engine.placement import Cargo
from midstream.errors import InputError
from midstream.own import OwnEncoder
from midstream.part_names import encoder_source, fresh, is_random, lm_source, not_loaded
from midstream.preparing import medium_of
from midstream.schedule import Schedule

SOFT_PROMPT = "soft_prompt"


@dataclass(slots=True)
class Modality:
    """What a sense is made of, before anything is loaded.

    Args:
        encoder: a hub id, a local folder, a loaded Hugging Face model, "pocket" (the small encoder of this medium that
            ships with Midstream), one of these behind "random:" (fresh weights, a control), the name of one's own
            (`midstream.own`), or "soft_prompt" for learned vectors in front of every text.
        connector: {"kind": "linear" | "mlp" | "resampler" | "soft_prompt", options}; a bare kind is short for that.
        schedule: where its tokens live in the LM.
        features: which encoder layers and tokens are used.
        medium: what its files are (`midstream.preparing.MEDIA`); by default told from the modality's name or encoder.
        prepare: how its media are prepared, where the encoder leaves it open (seconds, frames, length).
        options: passed on when the encoder is loaded.
    """

    encoder: str | Path | PreTrainedModel | OwnEncoder
    connector: str | Mapping[str, Any] = "mlp"
    schedule: Schedule = field(default_factory=Schedule)
    features: FeatureSpec | Mapping[str, Any] | None = None
    medium: str | None = None
    prepare: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, name: str, anatomy: Anatomy, expected: Mapping[str, Any] | None = None) -> "LoadedModality":
        """Load the encoder and make a fresh connector.

        Args:
            name: the modality's name, for error messages.
            anatomy: the LM's.
            expected: fingerprint that the encoder must have.

        Raises:
            InputError: a part cannot be loaded, or the connector gives fewer levels than the schedule writes.
        """
        settings = {"kind": self.connector} if isinstance(self.connector, str) else dict(self.connector)
        lm_width = anatomy.width_at(self.schedule.enter)
        if self.encoder == SOFT_PROMPT:
            return LoadedModality(None, build_connector({**settings, "kind": SOFT_PROMPT}, lm_width=lm_width))
        spec = FeatureSpec.make(self.features)
        encoder = load_encoder(self._source(name), spec, fresh_weights=self._is_random(), **self.options)
        if expected is not None:
            trained_on = str(expected.get("name", "an encoder"))
            check_fingerprint(encoder.model, expected, f"{name} encoder", trained_on, self.encoder_name(encoder))
        levels = len(spec.layers)
        outputs = 1 if settings["kind"] == "resampler" else levels
        if outputs < self.schedule.levels:
            remedy = "use a linear or mlp connector" if outputs < levels else "name as many layers in features.layers"
            raise InputError(
                f"the schedule of {name} writes {self.schedule.levels} levels, but its {settings['kind']} connector "
                f"gives {outputs}; {remedy}"
            )
        return LoadedModality(
            encoder, build_connector(settings, encoder_width=encoder.width, lm_width=lm_width, levels=levels)
        )

    def _source(self, name: str) -> Any:
        named = isinstance(self.encoder, str | Path)
        return encoder_source(str(self.encoder), self.medium or name, name) if named else self.encoder

    def _is_random(self) -> bool:
        return isinstance(self.encoder, str | Path) and is_random(self.encoder)

    def encoder_name(self, encoder: FrozenEncoder) -> str:
        """How the encoder is called in configs and messages."""
        if isinstance(self.encoder, str | Path):
            return str(self.encoder)
        return encoder.model.name if isinstance(encoder.model, OwnEncoder) else encoder.model.name_or_path

    def to_dict(self, name: str, loaded: "LoadedModality") -> dict[str, Any]:
        """The plain form that a config keeps; `from_dict` is its inverse."""
        settings = {"kind": self.connector} if isinstance(self.connector, str) else dict(self.connector)
        data: dict[str, Any] = {"connector": settings, "schedule": self.schedule.to_dict()}
        if loaded.encoder is None:
            return data | {"encoder": SOFT_PROMPT}
        source = self.encoder_name(loaded.encoder)
        data |= {"medium": medium_of(name, loaded.encoder.model, self.medium)}
        data |= {"prepare": dict(self.prepare)} if self.prepare else {}
        data |= {"options": dict(self.options)} if self.options else {}
        return data | {
            "encoder": source,
            "features": FeatureSpec.make(self.features).to_dict(),
            "fingerprint": fingerprint(loaded.encoder.model) | {"name": source},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], encoder: str | Path | PreTrainedModel | None = None) -> "Modality":
        """Inverse of `to_dict`; `encoder` replaces the one that is named there."""
        schedule = Schedule.from_dict(data["schedule"])
        medium, prepare, options = data.get("medium"), data.get("prepare", {}), data.get("options", {})
        return cls(
            encoder or data["encoder"], data["connector"], schedule, data.get("features"), medium, prepare, options
        )


class LoadedModality(nn.Module):
    """A frozen encoder and its trained connector; no encoder means learned vectors in front of every text."""

    def __init__(self, encoder: FrozenEncoder | None, connector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.connector = connector

    def features(self, slots_BS: Tensor, media: Mapping[str, Tensor]) -> Tensor:
        """Encode the media of the slots that are filled: (N, V, P, E), N of them in row-major order.

        Args:
            slots_BS: -1 marks an empty slot, whose media are not looked at.
            media: the encoder's inputs, (B, S, ...).
        """
        assert self.encoder is not None
        if not media or (self.encoder.input_name and self.encoder.input_name not in media):
            raise InputError(f"the encoder reads {self.encoder.input_name}, but got {sorted(media)}")
        filled = slots_BS >= 0
        for key, value in media.items():
            if value.shape[:2] != slots_BS.shape:
                raise InputError(
                    f"{key} is for {tuple(value.shape[:2])} (rows, slots), but the slots are {tuple(slots_BS.shape)}"
                )
        return self.encoder(**{key: value[filled] for key, value in media.items()})

    def tokens(self, given: Mapping[str, Tensor]) -> Tensor:
        """Tokens for all slots, (B, S, V, K, D), from `tokens`, `features` or the encoder's own inputs."""
        if "tokens" in given:
            return given["tokens"]
        slots_BS = given["slots"]
        filled = slots_BS >= 0
        places = (
            None if bool(filled.all()) else filled.nonzero(as_tuple=True)
        )  # asked first: it breaks a compiled graph
        if "features" in given:
            features_NVPE = given["features"][filled]
        else:
            features_NVPE = self.features(slots_BS, {key: value for key, value in given.items() if key != "slots"})
        weight = next(self.connector.parameters(), features_NVPE)
        tokens_NVKD = self.connector(features_NVPE.to(weight.dtype))
        if places is None:
            return tokens_NVKD.unflatten(0, slots_BS.shape)
        return tokens_NVKD.new_zeros(*slots_BS.shape, *tokens_NVKD.shape[1:]).index_put(places, tokens_NVKD)

    def everywhere(self, text: Tensor, attention_mask: Tensor | None = None) -> Cargo:
        """Learned vectors in front of every row: after its left padding, which would use up a sliding window."""
        if attention_mask is None:
            slots = torch.zeros(text.shape[0], 1, dtype=torch.long, device=text.device)
        else:
            slots = (attention_mask.cumsum(1) == 0).sum(1, keepdim=True)
        return Cargo(slots, self.connector(text.shape[0]).unsqueeze(1))


def load_lm(source: str | Path | PreTrainedModel, **options: Any) -> PreTrainedModel:
    """Load a causal LM from an id, a local folder, a module that is loaded already, or the name of a shipped one.

    Args:
        source: behind "random:", the model that is named, with fresh weights: a control.
        options: passed on to `from_pretrained`; of fresh weights, `dtype` alone counts.

    Raises:
        InputError: it cannot be loaded (only safetensors weights are).
    """
    if isinstance(source, nn.Module):
        return source
    path = lm_source(source)
    try:
        if not is_random(source):
            return AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, **options)
        with fresh():
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path), dtype=options.get("dtype"))
        model.generation_config = _replies(path, model)
        return model
    except (OSError, ValueError) as error:
        raise not_loaded("language model", source, error) from None


def _replies(path: str, model: PreTrainedModel) -> GenerationConfig:
    """How a model's replies end; what its config says where it has no generation config."""
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return model.generation_config
