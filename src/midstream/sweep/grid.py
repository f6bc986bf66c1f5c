"""What a grid file says, and how it is read. Knows recipes by name only; `cells` makes them.

recipe: deep_insert                         # where no axis names one
set: {training.steps: 300}                  # changes of every cell's recipe
grid:                                       # each axis with each other
  modalities.image.schedule.layer: [0, 4]   # a dotted key of the recipe -> its values
  fraction: [0.1, 1]                        # of the training rows
  recipe: [prepend, deep_insert]            # recipes
  method:                                   # any other name: what varies together, by name
    - {name: early, recipe: prepend}
    - {name: late, recipe: deep_insert, set: {modalities.image.schedule.layer: 6}}
seeds: [0, 1, 2]
evaluate: {splits: [test, held_out], n: 400, controls: true}
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from midstream.errors import InputError
from midstream.part_names import RANDOM, is_random
from midstream.recipe import Recipe
from midstream.recipe.files import Shelf, override, validated
from midstream.recipe.node import Settings

SHELF = Shelf("grid", Path(__file__).parent.parent / "grids")
FRACTION, RECIPE, METHOD = "fraction", "recipe", "method"


class Variant(Settings):
    """A value of an axis that changes several things at once: another recipe, other settings, or both. It may have
    seeds of its own instead of the grid's."""

    name: str = Field(min_length=1)
    recipe: str | None = None
    set: dict[str, Any] = Field(default={})
    seeds: list[NonNegativeInt] | None = None


class Evaluate(Settings):
    """On what every cell is measured. What is not said here (the metric, the longest answer) is the recipe's.

    `n` rows of each of the `splits`; all controls, none, or those of the splits that are named, for every seed or for
    `control_seeds` only. `captions` rows of each split are also described, by the caption metrics. Of each layer in
    `moved` is told what comes of the trained connector when its tokens enter there instead, without retraining.
    """

    splits: list[str] = Field(default=["test"], min_length=1)
    n: PositiveInt = 500
    controls: bool | list[str] = True
    control_seeds: list[NonNegativeInt] | None = None
    captions: NonNegativeInt = 0
    moved: list[NonNegativeInt] = Field(default=[])

    def controlled(self, split: str, seed: int | None = None) -> bool:
        """Whether a split is measured with all controls, for a seed or for any."""
        if None not in (seed, self.control_seeds) and seed not in (self.control_seeds or []):
            return False
        return self.controls if isinstance(self.controls, bool) else split in self.controls


class Grid(Settings):
    """The whole file. `name` is the file's."""

    name: str = "grid"
    description: str = ""
    recipe: str | None = None
    set: dict[str, Any] = Field(default={})
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default={})
    seeds: list[NonNegativeInt] = Field(default=[0], min_length=1)
    evaluate: Evaluate = Evaluate()

    @field_validator("grid")
    @classmethod
    def _fractions(cls, axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for share in axes.get(FRACTION, []):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
                raise ValueError(f"`{FRACTION}` names {share!r}; a fraction is above 0 and at most 1")
        return axes


def shipped_grids() -> list[str]:
    """Names that `load_grid` knows without a file."""
    return SHELF.names()


def load_grid(source: str | Path, overrides: list[str] | None = None) -> Grid:
    """Read a grid.

    Args:
        source: a shipped name, or the path of a YAML file.
        overrides: `key=value`, values read as YAML. A key of the grid itself (`seeds`, `evaluate.n`, `grid.AXIS`)
            changes the grid, any other one the recipe of every cell. Of a part that the file wants with fresh weights
            (`random:NAME`) only the NAME is changed.

    Raises:
        InputError: no such grid, not YAML, unknown keys (with a suggestion), wrong values.
    """
    tree = SHELF.read(str(source), "recipe, grid, seeds and evaluate")
    for text in overrides or []:
        _set(tree, text)
    return validated(Grid, tree, f"grid {source}")


def is_setting(axis: str) -> bool:
    """Whether an axis is a key of the recipe, so that its values are that key's."""
    return "." in axis or axis in Recipe.model_fields


def _set(tree: dict[str, Any], text: str) -> None:
    key, value = override(text, "training.steps=100 or evaluate.n=50")
    first, _, rest = key.partition(".")
    axes = _mapping(tree.get("grid"))
    if key in axes:
        raise InputError(f"--set {text}: {key} is an axis of the grid; write --set grid.{key}=[...]")
    if first not in Grid.model_fields or first in ("name", "description"):
        tree["set"] = {**_mapping(tree.get("set")), key: value}
        for variant in (item for values in axes.values() if isinstance(values, list) for item in values):
            if key in _mapping(_mapping(variant).get("set")):  # what is typed comes before what the file says
                variant["set"] = {**variant["set"], key: _untrained_too(variant["set"][key], value)}
    elif rest:
        tree[first] = {**_mapping(tree.get(first)), rest: value}
    else:
        tree[first] = value


def _untrained_too(said: Any, typed: Any) -> Any:
    """What is typed, with fresh weights where the file says so of the part: a control stays one."""
    keeps = all(isinstance(name, str) for name in (said, typed)) and is_random(said) and not is_random(typed)
    return f"{RANDOM}{typed}" if keeps else typed


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}
