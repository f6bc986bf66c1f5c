"""From a name to configs: what the LM, the encoders and the connectors of a ledger are. Loads no weights.

A name is the shipped `pocket`, a known shape (`known.json`: true shapes for use without a network), a folder with a
config.json (an LM's, or one that `midstream train` wrote), a JSON file, a recipe, or a hub id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from midstream import pocket
from midstream.configuration import load_config
from midstream.encoders import FeatureSpec
from midstream.errors import InputError
from midstream.own import is_known
from midstream.part_names import bare, encoder_source, lm_source
from midstream.presets import preset
from midstream.recipe import Recipe, load_recipe, shipped_names
from midstream.schedule import Schedule

KNOWN = Path(__file__).parent / "known.json"


@dataclass(frozen=True, slots=True)
class Sense:
    """A modality as configs describe it: `encoder` is None where features are given or the tokens are learned."""

    connector: Mapping[str, Any]
    schedule: Schedule
    encoder: PreTrainedConfig | None = None
    features: FeatureSpec = field(default_factory=FeatureSpec)


@dataclass(frozen=True, slots=True)
class Source:
    """What a name stands for: an LM, and the modalities that it comes with."""

    name: str
    lm: PreTrainedConfig
    senses: Mapping[str, Sense] = field(default_factory=dict)


def find(name: str) -> Source:
    """The LM called `name`, with the modalities of a trained model or a recipe.

    Raises:
        InputError: nothing of that name is known, lies here, or can be had from the hub.
    """
    folder = pocket.model_path(name) if name in pocket.model_names() else Path(name)
    if (folder / "config.json").is_file() and _model_type(folder / "config.json") == "midstream":
        return _trained(name, folder)
    if name in shipped_names() or folder.suffix in (".yaml", ".yml"):
        return source_of(load_recipe(name), name)
    return Source(name, find_config(name, "lm"))


def find_config(name: str, kind: str, medium: str = "image") -> PreTrainedConfig:
    """The config of the LM (`kind` "lm") or encoder ("encoder") called `name`; `medium` says which `pocket` encoder.

    Raises:
        InputError: nothing of that name is known, lies here, or can be had from the hub.
    """
    name = bare(name)  # fresh weights cost as much as trained ones
    if name in pocket.lm_names():
        return AutoConfig.from_pretrained(lm_source(name) if kind == "lm" else encoder_source(name, medium))
    if (known := _known(kind).get(name)) is not None:
        return AutoConfig.for_model(**known)
    path = Path(name)
    if path.suffix == ".json" and path.is_file():
        return _of_json(path)
    try:
        if path.is_dir() or name.count("/") == 1:
            return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"no config for {name!r}: {str(error).splitlines()[0]}") from None
    names = [known for known in _known(kind) if "/" not in known]
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known shapes are {', '.join(names)}"
    words = "language model" if kind == "lm" else "encoder"
    raise InputError(f"no {words} {name!r}: not a known shape, a folder, a JSON config or a hub id; {hint}")


def on_meta(config: PreTrainedConfig) -> PreTrainedModel:
    """The LM of `config` without weights: shapes only.

    Raises:
        InputError: the config is no causal LM's.
    """
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError) as error:
        raise InputError(f"{config.model_type} makes no causal LM: {str(error).splitlines()[0][:200]}") from None


def known_names(kind: str) -> list[str]:
    """Names of the shapes that ship, hub ids left out."""
    return [name for name in _known(kind) if "/" not in name]


@cache
def _known(kind: str) -> dict[str, dict[str, Any]]:
    entries = json.loads(KNOWN.read_text(encoding="utf-8"))[kind]
    return {name: entry["config"] for short, entry in entries.items() for name in (short, *entry["ids"])}


def _model_type(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (json.JSONDecodeError, AttributeError):
        raise InputError(f"{path.parent.name}/{path.name} is not a JSON object") from None


def _of_json(path: Path) -> PreTrainedConfig:
    if (kind := _model_type(path)) is None:
        raise InputError(f"{path.name} names no model_type; a config of Transformers does")
    try:
        return AutoConfig.for_model(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path.name} is no config of {kind}: {str(error).splitlines()[0][:200]}") from None


def _encoder(name: str, medium: str) -> PreTrainedConfig | None:
    if name == "soft_prompt":
        return None
    if is_known(name):
        raise InputError(f"{name} is an encoder of your own, whose cost is not known here; give --tokens and --width")
    return find_config(name, "encoder", medium)


def _trained(name: str, folder: Path) -> Source:
    config = load_config(folder)
    senses = {}
    for sense, part in (config.modalities or {}).items():
        encoder = _encoder(part["encoder"], part.get("medium") or sense)
        schedule = Schedule.from_dict(part["schedule"])
        senses[sense] = Sense(part["connector"], schedule, encoder, FeatureSpec.make(part.get("features")))
    return Source(name, config.get_text_config(), senses)


def source_of(recipe: Recipe, name: str | None = None) -> Source:
    """A recipe's LM and modalities, under the recipe's name or `name`.

    Raises:
        InputError: a config cannot be had, or the encoder is one of the user's own.
    """
    senses = {}
    for sense, part in recipe.modalities.items():
        encoder = _encoder(part.encoder, part.medium or sense)
        schedule = preset(part.schedule.preset, **part.schedule.model_dump(exclude={"preset"}))
        connector = part.connector.model_dump(exclude_none=True)
        senses[sense] = Sense(connector, schedule, encoder, FeatureSpec.make(part.features.model_dump()))
    return Source(name or recipe.name, find_config(recipe.lm, "lm"), senses)
