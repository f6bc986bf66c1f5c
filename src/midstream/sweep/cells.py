"""A grid's cells: each one run, fully described, under a name that stays when the grid grows. Trains nothing."""

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import yaml

from midstream.data.sources import open_data
from midstream.data.streams import Stream
from midstream.errors import InputError
from midstream.recipe import MixData, PocketData, Recipe, load_recipe, parse_recipe
from midstream.recipe.files import validated
from midstream.sweep.grid import FRACTION, METHOD, RECIPE, Evaluate, Grid, Variant, is_setting

UNSAFE = re.compile(r"[^A-Za-z0-9@+._-]+")


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a sweep.

    Args:
        name: its place in the grid, `prepend,fraction=0.1,seed=0`; a file's name.
        method: what is compared: the value of the axis `method` or `recipe`, else the recipe's name.
        settings: axis -> the value here (a variant's name).
        recipe: with everything applied, the fraction of the data and the seed too.
        fraction: of the grid's training rows.
        evaluate: on what it is measured.
        grid: the name of the grid that asks for it.
    """

    name: str
    method: str
    settings: dict[str, Any]
    recipe: Recipe
    fraction: float
    evaluate: Evaluate
    grid: str = ""

    def facts(self) -> dict[str, Any]:
        """What its figures depend on; two cells of equal facts are the same measurement."""
        told = self.recipe.model_dump(mode="json", exclude={"name", "description", "smoke"})
        return {"recipe": told, "fraction": self.fraction, "evaluate": self.evaluate.model_dump(mode="json")}

    def digest(self) -> str:
        """A short name for the facts."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()[:12]


def cells_of(grid: Grid) -> list[Cell]:
    """Every cell of a grid, seed by seed, so that what is interrupted is still complete for the seeds that are done.

    Raises:
        InputError: a recipe or key that is not known (the cell is named), or two cells of one name.
    """
    axes = {axis: _values(grid, axis) for axis in grid.grid}
    places = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    more = dict.fromkeys(seed for place in places for seed in _seeds(grid, place) if seed not in grid.seeds)
    seeds = [*grid.seeds, *more]
    cells = [_cell(grid, place, seed) for seed in seeds for place in places if seed in _seeds(grid, place)]
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    if twice:
        raise InputError(f"grid {grid.name}: two cells are called {twice[0]}; give different values, names and seeds")
    return cells


def joined(grids: Sequence[Grid]) -> list[Cell]:
    """The cells of several grids that share one table. What two of them ask for alike is run once, for the first.

    Raises:
        InputError: as `cells_of`, or two grids mean different things by one name.
    """
    found: dict[str, Cell] = {}
    for cell in (cell for grid in grids for cell in cells_of(grid)):
        known = found.setdefault(cell.name, cell)
        if known.digest() != cell.digest():
            raise InputError(
                f"grids {known.grid} and {cell.grid} both have a cell {cell.name}, which is not the same in both; "
                f"name it otherwise in one of them"
            )
    return list(found.values())


def chosen(cells: Sequence[Cell], only: str | None) -> list[Cell]:
    """The cells whose name is `only`, or fits it as a pattern with `*`.

    Raises:
        InputError: there is none.
    """
    found = [cell for cell in cells if only is None or cell.name == only or fnmatchcase(cell.name, only)]
    if not found:
        names = [cell.name for cell in cells]
        close = get_close_matches(str(only), names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the first is {names[0]}; --dry-run lists all"
        raise InputError(f"the grid has no cell {only!r}; {hint}")
    return found


def _values(grid: Grid, axis: str) -> list[Any]:
    """An axis's values; variants where it is no key of the recipe."""
    values = grid.grid[axis]
    if axis == RECIPE:
        return [validated(Variant, {"name": _plain(str(v)), "recipe": v}, f"grid {grid.name}: grid") for v in values]
    if axis == FRACTION or is_setting(axis):
        return values
    return [validated(Variant, value, f"grid {grid.name}: grid.{axis}.{n}") for n, value in enumerate(values)]


def _seeds(grid: Grid, place: dict[str, Any]) -> list[int]:
    """A place's seeds: those that one of its variants names, else the grid's."""
    named = [value.seeds for value in place.values() if isinstance(value, Variant) and value.seeds is not None]
    return named[-1] if named else grid.seeds


def _cell(grid: Grid, place: dict[str, Any], seed: int) -> Cell:
    variants = {axis: value for axis, value in place.items() if isinstance(value, Variant)}
    name = ",".join([*(_label(axis, value, place) for axis, value in place.items()), f"seed={seed}"])
    source = next((variant.recipe for variant in reversed(variants.values()) if variant.recipe), grid.recipe)
    if source is None:
        raise InputError(f"grid {grid.name}: cell {name} has no recipe; name one as `recipe`, or in the axis")
    changes = dict(grid.set)
    for variant in variants.values():
        changes |= variant.set
    changes |= {axis: value for axis, value in place.items() if axis not in variants and axis != FRACTION}
    changes["training.seed"] = seed
    share = float(place.get(FRACTION, 1.0))
    try:
        recipe = load_recipe(source, [f"{key}={_as_yaml(value)}" for key, value in changes.items()])
        recipe = _with_fraction(recipe, share)
    except InputError as error:
        raise InputError(f"grid {grid.name}, cell {name}: {error}") from None
    axis = next((axis for axis in (METHOD, RECIPE) if axis in variants), None)
    settings = {axis: value.name if isinstance(value, Variant) else value for axis, value in place.items()}
    return Cell(name, variants[axis].name if axis else recipe.name, settings, recipe, share, grid.evaluate, grid.name)


def _label(axis: str, value: Any, place: dict[str, Any]) -> str:
    """An axis's part of a cell's name; `layer=4`, unless two axes end like this."""
    if isinstance(value, Variant):
        return _plain(value.name)
    last = axis.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == last for other in place) == 1
    return f"{last if alone else axis}={_plain(value)}"


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return UNSAFE.sub("-", text).strip("-.") or "none"


def _as_yaml(value: Any) -> str:
    """A value on one line, as `load_recipe` reads it back."""
    return yaml.safe_dump([value], default_flow_style=True, width=math.inf).strip()[1:-1]


def _with_fraction(recipe: Recipe, share: float) -> Recipe:
    """The recipe with the first `share` of its training rows: fewer scenes of a pocket world, or a lower limit."""
    if share == 1:
        return recipe
    tree = recipe.model_dump(mode="json")
    data = recipe.data
    key, rows = ("scenes", data.scenes) if isinstance(data, PocketData) else ("limit", _rows_of(recipe))
    tree["data"][key] = max(1, round(rows * share))
    return parse_recipe(tree, f"{share:g} of recipe {recipe.name}'s data")


def _rows_of(recipe: Recipe) -> int:
    streaming = any(getattr(data, "streaming", False) for data in _sources(recipe.data))
    rows = None if streaming else open_data(recipe.data, "train")
    if rows is None or isinstance(rows, Stream):
        raise InputError(f"a fraction of a stream cannot be told, and recipe {recipe.name} streams; set data.streaming")
    return len(rows)


def _sources(data: Any) -> Iterator[Any]:
    yield from (part.data for part in data.parts) if isinstance(data, MixData) else (data,)
