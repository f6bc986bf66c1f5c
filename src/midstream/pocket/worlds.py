"""The pocket worlds by name, each a function that makes its rows. Importing this imports none of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from midstream.errors import InputError

WORLDS: Final = {
    "pictures": "midstream.pocket.data",
    "sounds": "midstream.pocket.sounds.data",
    "motion": "midstream.pocket.motion.data",
    "molecules": "midstream.pocket.molecules.data",
    "series": "midstream.pocket.series.data",
    "picture_and_sound": "midstream.pocket.pair.data",
}
"""World -> the module whose `example(split, index, seed, questions_per_scene, include_describe)` makes a row."""


def example_of(world: str) -> Callable[..., dict[str, Any]]:
    """The function that makes rows of a world.

    Raises:
        InputError: no such world, or what it needs is not installed.
    """
    if world not in WORLDS:
        raise InputError(f"there is no pocket world {world!r}; choose one of {', '.join(WORLDS)}")
    example: Callable[..., dict[str, Any]] = import_module(WORLDS[world]).example
    return example
