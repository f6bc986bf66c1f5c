"""`--smoke`: any recipe in seconds, without a hub.

Owns the stand-ins: random models of the same architectures, equally deep but tiny in width, in Hugging Face format, and
a few generated rows in the layout of the data set on disk. From there on nothing knows that it is a smoke run: the same
loading, training, saving and evaluating code runs.
"""

from pathlib import Path
from typing import Any

from midstream.own import is_known
from midstream.recipe import Recipe, parse_recipe
from midstream.smoke.layouts import ROWS, write_data
from midstream.smoke.models import encoder, language_model
from midstream.smoke.samples import MAKERS

__all__ = ["smoke"]

LIMITS: dict[str, dict[str, Any]] = {
    "training": {"steps": 3, "batch_size": 2, "gradient_accumulation": 1, "save_every": 2, "log_every": 1},
    "evaluation": {"n": 4, "batch_size": 4, "max_new_tokens": 4},
}
OWN = ("pocket", "soft_prompt")
"""Parts that need no stand-in."""


def smoke(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe, cut down to a few steps, with stand-ins for what is not at hand.

    Args:
        recipe: any recipe.
        folder: where stand-ins are written; the returned recipe and the trained model point into it.

    Raises:
        InputError: the recipe does not say (in its `smoke` section) what stands in for a part.
    """
    tree = recipe.model_dump(mode="json")
    for section, limits in LIMITS.items():
        tree[section] |= limits
    if recipe.lm not in OWN:
        tree["lm"] = language_model(recipe, folder / "lm")
    media = {name: medium_of(recipe, name) for name in recipe.modalities if name_has_media(recipe, name)}
    for name, modality in recipe.modalities.items():
        if modality.encoder not in OWN and not is_known(modality.encoder):
            tree["modalities"][name]["encoder"] = encoder(recipe, name, media[name], folder / name)
    if any(is_known(modality.encoder) for modality in recipe.modalities.values()):
        tree["data"] |= {"limit": ROWS}  # what an item is, only its class knows: the first rows of the data themselves
    else:
        tree["data"] |= write_data(recipe.data, media, folder / "data")
    tree["evaluation"] |= {"split": "validation"}
    return parse_recipe(tree, "smoke recipe")


def name_has_media(recipe: Recipe, name: str) -> bool:
    """Whether a modality is given anything: learned vectors are not."""
    return recipe.modalities[name].encoder != "soft_prompt"


def medium_of(recipe: Recipe, name: str) -> str:
    """What a modality's files are: as the recipe says, or as it is called."""
    wanted = recipe.modalities[name].medium or name
    return wanted if wanted in MAKERS else "image"
