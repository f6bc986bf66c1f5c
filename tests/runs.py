"""Recipes for tests of whole runs: tiny stand-ins on disk, by the code that `--smoke` uses. Downloads nothing."""

from pathlib import Path
from typing import Any

from midstream.recipe import Recipe, parse_recipe
from midstream.smoke import smoke

LM = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
ENCODER = {
    "model_type": "vit",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def recipe_tree(kind: str = "jsonl", **data: Any) -> dict[str, Any]:
    """A recipe whose parts only stand-ins can fill."""
    return {
        "name": "tiny",
        "lm": "nobody/tiny-llama",
        "modalities": {
            "image": {
                "encoder": "nobody/tiny-vit",
                "connector": {"kind": "mlp", "hidden": 16},
                "schedule": {"preset": "deep_insert", "layer": 2},
            }
        },
        "data": {"kind": kind, **data},
        "training": {"steps": 4, "lr": 1e-2},
        "smoke": {"lm": LM, "encoders": {"image": ENCODER}},
    }


def tiny_recipe(folder: Path, **training: Any) -> Recipe:
    """Four steps on eight one-coloured pictures; `training` overrides settings."""
    cut = smoke(parse_recipe(recipe_tree(train="unused.jsonl")), folder)
    tree = cut.model_dump(mode="json")
    tree["training"] |= {"steps": 4, "save_every": 2, **training}
    return parse_recipe(tree)
