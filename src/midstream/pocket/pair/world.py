"""Pairs: a small scene to be seen and a small scene to be heard, drawn together.

Owns what a pair *is* and which split it belongs to. Knows nothing of language, pixels or sounds. The scenes are those
of `midstream.pocket.world`; the heard one borrows words from the seen one, so that asking what both share is worth it.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final, Literal, NamedTuple, TypeAlias

from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Bucket, Scene, Thing, make_scene, of_split

Sense: TypeAlias = Literal["picture", "sound"]
SENSES: Final[tuple[Sense, ...]] = ("picture", "sound")
_BUCKETS: Final[tuple[Bucket, ...]] = ("train",) * 8 + ("validation", "test")
_MOST: Final = 2
_COPY: Final = 0.35  # chance that an attribute repeats one that is there already


class Pair(NamedTuple):
    """One picture scene and one sound scene, of one or two things each."""

    picture: Scene
    sound: Scene

    def of(self, sense: Sense) -> Scene:
        """The scene that one sense takes in."""
        return self.picture if sense == "picture" else self.sound

    @property
    def key(self) -> str:
        """A canonical text of the pair: equal pairs have equal keys."""
        return f"{self.picture.key}|{self.sound.key}"

    @property
    def bucket(self) -> Bucket:
        """The split, from a hash of the key (80 / 10 / 10 per cent)."""
        return _BUCKETS[hashlib.blake2b(self.key.encode(), digest_size=4).digest()[0] % len(_BUCKETS)]

    @property
    def has_held_out(self) -> bool:
        """Whether anything seen or heard wears a held-out (colour, shape) pair of `midstream.pocket.world`."""
        return self.picture.has_held_out or self.sound.has_held_out


def _draw(rng: random.Random) -> Pair:
    things: list[Thing] = []
    scenes = []
    for _ in SENSES:
        mine: list[Thing] = []
        for _ in range(rng.randint(1, _MOST)):
            free = [place for place in PLACES if place not in {thing.place for thing in mine}]
            words = []
            for field, known in enumerate((SHAPES, COLOURS, SIZES, free)):
                old = [thing[field] for thing in things if thing[field] in known]
                words.append(rng.choice(old if old and rng.random() < _COPY else known))
            mine.append(Thing(*words))
            things.append(mine[-1])
        scenes.append(make_scene(mine))
    return Pair(*scenes)


def sample(bucket: Bucket, index: int, seed: int = 0, held_out: bool | None = None) -> Pair:
    """The ``index``-th pair of a split; a pure function of its arguments.

    Args:
        bucket: the split that the pair's hash must fall into.
        index: which pair; distinct indices are independent draws.
        seed: another seed is another sequence of pairs.
        held_out: ``False`` for pairs without held-out (colour, shape) things, ``True`` for pairs with at least one,
            ``None`` for any.
    """
    rng = random.Random(f"pair/{bucket}/{seed}/{index}/{held_out}")
    return of_split(lambda: _draw(rng), bucket, held_out)
