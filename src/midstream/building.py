"""From a recipe to a model and its processor. Knows recipes and the library's public parts, nothing of training."""

from typing import Any

import torch

from midstream.modality import Modality, load_lm
from midstream.modeling import MidstreamForCausalLM
from midstream.part_names import settled
from midstream.presets import preset
from midstream.processing import MidstreamProcessor
from midstream.recipe import Recipe


def build_model(recipe: Recipe) -> MidstreamForCausalLM:
    """The recipe's model with fresh connectors; the recipe's seed decides their values.

    Raises:
        InputError: a part cannot be loaded, or the parts do not fit.
    """
    lm_name = settled(recipe.lm)
    lm = load_lm(lm_name, dtype=getattr(torch, recipe.training.precision))
    modalities: dict[str, Any] = {}
    for name, settings in recipe.modalities.items():
        modalities[name] = Modality(
            encoder=settled(settings.encoder),
            connector=settings.connector.model_dump(exclude_none=True),
            schedule=preset(settings.schedule.preset, **settings.schedule.model_dump(exclude={"preset"})),
            features=settings.features.model_dump(),
            medium=settings.medium,
            prepare=settings.prepare,
            options=settings.options,
        )
    adapters = recipe.adapters.model_dump(exclude_none=True) if recipe.adapters else None
    with torch.random.fork_rng():
        torch.manual_seed(recipe.training.seed)
        model = MidstreamForCausalLM.from_parts(lm, positions=recipe.positions, adapters=adapters, **modalities)
    model.config.lm = lm_name  # the name to load it by; the module itself only knows a path
    model.config.text_config.name_or_path = lm_name
    return model


def build(recipe: Recipe) -> tuple[MidstreamForCausalLM, MidstreamProcessor]:
    """`build_model`, and the processor that belongs to it."""
    model = build_model(recipe)
    return model, MidstreamProcessor.from_model(model)
