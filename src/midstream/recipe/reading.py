"""Reads recipes from files and from overrides, and says in words what is wrong. Knows no setting by name."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from midstream.errors import InputError
from midstream.recipe.explaining import explain
from midstream.recipe.tree import Recipe

SHIPPED = Path(__file__).parent.parent / "recipes"


def shipped_names() -> list[str]:
    """Names that `load_recipe` knows without a file."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        source: a shipped name, or the path of a YAML file.
        overrides: `dotted.key=value`, values read as YAML.

    Raises:
        InputError: no such recipe, not YAML, unknown keys (with a suggestion), wrong types.
    """
    path = _find(str(source))
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise InputError(f"recipe {path} must be a mapping with lm, modalities, data and training")
    tree.setdefault("name", path.stem)
    for override in overrides or []:
        _set(tree, override)
    return parse_recipe(tree, f"recipe {source}")


def parse_recipe(tree: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from a plain mapping.

    Raises:
        InputError: unknown keys (with a suggestion) or wrong types; names the dotted key.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, tree, Recipe)}") from None


def _find(source: str) -> Path:
    shipped = SHIPPED / f"{source}.yaml"
    if shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    path = Path(source)
    if path.is_file():
        return path
    from difflib import get_close_matches

    close = get_close_matches(source, shipped_names(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"shipped recipes are {', '.join(shipped_names())}"
    raise InputError(f"there is no recipe {source!r}, neither shipped nor a file; {hint}")


def _set(tree: dict[str, Any], override: str) -> None:
    """Write one `a.b=c` into the tree. Whether the key exists is checked with everything else, afterwards."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override!r} must look like training.steps=100")
    *parents, last = key.strip().split(".")
    node = tree
    for depth, parent in enumerate(parents):
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise InputError(
                f"--set {override}: {'.'.join(parents[: depth + 1])} is a value, so it has no key {last!r}"
            )
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: {text!r} is not a YAML value") from None
