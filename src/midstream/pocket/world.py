"""The pocket world: latent scenes of one to four objects on a 3x3 grid.

Owns what a scene *is*, how one is drawn from ``(split, index, seed)``, and which split a scene belongs to. Knows
nothing of language (``language``), of pixels (``render``) or of training rows (``data``).

Splits go by a hash of the latent scene, so two samples of one scene are always in the same split. Six of the 48
(colour, shape) pairs are *held out*: connector training (`midstream.pocket.data.examples` with split ``train``) never
sees them. The unimodal pretraining of the language model and of the encoder may see every pair: what the held-out split
tests is whether the connector carries over, not whether the frozen parts do.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

SHAPES: Final = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SIZES: Final = ("small", "large")
PLACES: Final = (
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
)  # fmt: skip
HELD_OUT: Final = frozenset(
    {
        ("red", "star"),
        ("orange", "ring"),
        ("green", "square"),
        ("blue", "cross"),
        ("white", "circle"),
        ("black", "triangle"),
    }
)

Bucket: TypeAlias = Literal["train", "validation", "test"]
_BUCKETS: Final[tuple[Bucket, ...]] = ("train",) * 8 + ("validation", "test")
_COUNT_WEIGHTS: Final = (0.12, 0.24, 0.32, 0.32)
_COPY: Final = (
    0.3  # chance that an attribute repeats an earlier object's: makes counting and "same colour?" worth asking
)


class Thing(NamedTuple):
    """One object: four words. ``place`` is its cell on the grid."""

    shape: str
    colour: str
    size: str
    place: str

    @property
    def row(self) -> int:
        """0 (top) to 2 (bottom)."""
        return PLACES.index(self.place) // 3

    @property
    def column(self) -> int:
        """0 (left) to 2 (right)."""
        return PLACES.index(self.place) % 3


class Scene(NamedTuple):
    """One to four things in distinct cells, in reading order."""

    things: tuple[Thing, ...]

    @property
    def key(self) -> str:
        """A canonical text of the scene: equal scenes have equal keys."""
        return ";".join("/".join(thing) for thing in self.things)

    @property
    def bucket(self) -> Bucket:
        """The split this scene belongs to, from a hash of its key (80 / 10 / 10 per cent)."""
        return _BUCKETS[hashlib.blake2b(self.key.encode(), digest_size=4).digest()[0] % len(_BUCKETS)]

    @property
    def has_held_out(self) -> bool:
        """Whether any thing wears a held-out (colour, shape) pair."""
        return any((thing.colour, thing.shape) in HELD_OUT for thing in self.things)


def make_scene(things: Sequence[Thing]) -> Scene:
    """A scene from things in any order.

    Raises:
        ValueError: no or more than four things, an unknown word, or two things in one cell.
    """
    if not 1 <= len(things) <= 4:
        raise ValueError(f"a scene holds 1 to 4 things, not {len(things)}")
    for thing in things:
        for word, known in zip(thing, (SHAPES, COLOURS, SIZES, PLACES), strict=True):
            if word not in known:
                raise ValueError(f"unknown word {word!r}; known here: {', '.join(known)}")
    if len({thing.place for thing in things}) != len(things):
        raise ValueError(f"two things share a cell: {', '.join(thing.place for thing in things)}")
    return Scene(tuple(sorted(things, key=lambda thing: PLACES.index(thing.place))))


def _draw(rng: random.Random, most: int) -> Scene:
    count = rng.choices(range(1, most + 1), weights=_COUNT_WEIGHTS[:most])[0]
    things: list[Thing] = []
    for place in sorted(rng.sample(range(len(PLACES)), count), key=lambda _: rng.random()):
        words = []
        for field, known in enumerate((SHAPES, COLOURS, SIZES)):
            copy = things and rng.random() < _COPY
            words.append(rng.choice(things)[field] if copy else rng.choice(known))
        things.append(Thing(words[0], words[1], words[2], PLACES[place]))
    return Scene(tuple(sorted(things, key=lambda thing: PLACES.index(thing.place))))


def of_split(draw: Callable[[], Any], bucket: Bucket, held_out: bool | None) -> Any:
    """The first latent drawn whose hash falls into ``bucket`` and that has (or lacks) a held-out combination.

    Args:
        draw: makes the next latent, or None where the draw came to nothing.
    """
    while True:
        latent = draw()
        if latent and latent.bucket == bucket and (held_out is None or latent.has_held_out == held_out):
            return latent


def sample_scene(
    bucket: Bucket, index: int, seed: int = 0, *, held_out: bool | None = None, most: int = len(_COUNT_WEIGHTS)
) -> Scene:
    """The ``index``-th scene of a split; a pure function of its arguments.

    Args:
        bucket: the split the scene's hash must fall into.
        index: which scene; distinct indices are independent draws.
        seed: another seed is another sequence of scenes.
        held_out: ``False`` for scenes without held-out pairs, ``True`` for scenes with at least one, ``None`` for any.
        most: the largest number of things (1 to 4).
    """
    rng = random.Random(f"{bucket}/{seed}/{index}/{held_out}")
    return of_split(lambda: _draw(rng, most), bucket, held_out)
