"""Reads recipes from files and from overrides, and says in words what is wrong. Knows no setting by name."""

from pathlib import Path
from typing import Any

from midstream.errors import InputError
from midstream.recipe.files import Shelf, override, validated
from midstream.recipe.tree import Recipe

SHELF = Shelf("recipe", Path(__file__).parent.parent / "recipes")


def shipped_names() -> list[str]:
    """Names that `load_recipe` knows without a file."""
    return SHELF.names()


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        source: a shipped name, or the path of a YAML file.
        overrides: `dotted.key=value`, values read as YAML.

    Raises:
        InputError: no such recipe, not YAML, unknown keys (with a suggestion), wrong types.
    """
    tree = SHELF.read(str(source), "lm, modalities, data and training")
    for text in overrides or []:
        _set(tree, text)
    return parse_recipe(tree, f"recipe {source}")


def parse_recipe(tree: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from a plain mapping.

    Raises:
        InputError: unknown keys (with a suggestion) or wrong types; names the dotted key.
    """
    return validated(Recipe, tree, where)


def _set(tree: dict[str, Any], text: str) -> None:
    """Write one `a.b=c` into the tree. Whether the key exists is checked with everything else, afterwards."""
    key, value = override(text, "training.steps=100")
    *parents, last = key.split(".")
    node = tree
    for depth, parent in enumerate(parents):
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise InputError(f"--set {text}: {'.'.join(parents[: depth + 1])} is a value, so it has no key {last!r}")
    node[last] = value
