"""Tiny random models of every family that Transformers registers for causal LM, by the recipes. Runs nothing."""

import dataclasses
from typing import Any, cast

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from midstream.compat.recipes import NOT_ALONE, SPECIAL, STANDARD, TEXT_ALONE
from midstream.errors import InputError


def families() -> tuple[str, ...]:
    """The families of Transformers' causal-LM mapping, sorted."""
    return tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))


def tiny_config(family: str) -> PreTrainedConfig:
    """A config of `family` that makes a model of at most `LARGEST` parameters.

    Raises:
        InputError: Transformers has no such family, or it is no LM by itself.
    """
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise InputError(f"{family!r} is not in Transformers' causal-LM mapping of {len(families())} families")
    if family in NOT_ALONE:
        raise InputError(f"{family} drafts for another model and reads that model's keys; it is no LM by itself")
    family = TEXT_ALONE.get(family, family)
    whole, special = CONFIG_MAPPING[family], SPECIAL.get(family, {})
    wanted = MODEL_FOR_CAUSAL_LM_MAPPING[whole].config_class
    for name in whole.sub_configs:
        if wanted is not whole and _nested(whole, name) is wanted:  # the family's causal LM is its text decoder alone
            return wanted(**_shrunk(wanted, special.get(name, {})))
    return whole(**_shrunk(whole, special))


def tiny_model(family: str, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A random model of `family`, lively enough that what is misplaced shows, in eval mode and float32.

    Args:
        options: for Transformers' `from_config`, such as `attn_implementation`.

    Raises:
        InputError: Transformers has no such family.
    """
    config = tiny_config(family)
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[TEXT_ALONE.get(family, family)]]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return lively(model_class._from_config(config, **options).float().eval())


def lively(model: PreTrainedModel) -> PreTrainedModel:
    """Raise weights to a spread of 0.2: a fresh model attends to everything alike and would hide what is misplaced."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and (spread := float(parameter.std())) < 0.2:
                if spread > 0:
                    parameter.mul_(0.2 / spread)
                else:
                    parameter.normal_(std=0.2)
    return model


def _shrunk(config_class: type[PreTrainedConfig], special: dict[str, Any]) -> dict[str, Any]:
    """`special` on top of the standard names that the class declares, and the same for its nested configs."""
    names = {field.name for field in dataclasses.fields(config_class)}
    settings = {name: value for name, value in STANDARD.items() if name in names}
    if "kv_lora_rank" in names:  # latent attention has as many key heads as query heads
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    for name in config_class.sub_configs:
        nested = _nested(config_class, name)
        if dataclasses.is_dataclass(nested):
            settings[name] = _shrunk(cast(Any, nested), special.get(name, {})) | {
                "model_type": cast(Any, nested).model_type
            }
    return settings | {name: value for name, value in special.items() if name not in config_class.sub_configs}


def _nested(config_class: type[PreTrainedConfig], name: str) -> Any:
    """The class of a nested config; where any may stand, the one that the family takes when nothing is said."""
    nested = config_class.sub_configs[name]
    if nested is not AutoConfig:
        return nested
    default = getattr(config_class, "sub_configs_defaults", {}).get(name)
    return CONFIG_MAPPING[default.model_type] if default else type(getattr(config_class(), name))
