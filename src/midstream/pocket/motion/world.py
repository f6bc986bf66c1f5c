"""The world of motion: latent clips of one to three objects, each moving in one of four directions or still.

Owns what a clip *is*, how one is drawn from ``(bucket, index, seed)``, and which split it belongs to. Knows nothing of
language (``language``), of pixels (``render``) or of training rows (``data``).

Objects that leave the picture at one edge come back at the opposite one, so a still frame tells nothing of where
anything is going. Objects start to move one after the other: their order in ``Clip.movers`` is the order of starting.
At most one pair of a clip does something together: they *meet* (touch and stop) or *part* (start from touching). Four
of the 24 (shape, direction) pairs are held out, as the pictures' world does with colours and shapes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import combinations
from typing import Final, NamedTuple

from midstream.pocket.world import COLOURS, SHAPES, Bucket, of_split

DIRECTIONS: Final = ("left", "right", "up", "down")
STILL: Final = "still"
SPEEDS: Final = ("slow", "fast")
EVENTS: Final = ("meet", "part")
HELD_OUT: Final = frozenset({("circle", "left"), ("star", "up"), ("ring", "right"), ("cross", "down")})

_BUCKETS: Final[tuple[Bucket, ...]] = ("train",) * 8 + ("validation", "test")
_COUNT_WEIGHTS: Final = (0.15, 0.4, 0.45)
_STILL: Final = 0.2  # chance that an object does not move
_COPY: Final = 0.25  # chance that an attribute repeats an earlier object's
_EVENTFUL: Final = 0.85  # chance that a pair which can do something together does


class Mover(NamedTuple):
    """One object. ``direction`` may be ``still``; its ``speed`` is then empty."""

    shape: str
    colour: str
    direction: str
    speed: str

    @property
    def moves(self) -> bool:
        """Whether it moves at all."""
        return self.direction != STILL


class Clip(NamedTuple):
    """One to three movers in the order in which they start, the still ones last, and what a pair of them does.

    ``event`` is ``meet``, ``part`` or empty; ``pair`` holds two indices into ``movers`` (empty without an event).
    """

    movers: tuple[Mover, ...]
    event: str
    pair: tuple[int, ...]

    @property
    def moving(self) -> tuple[Mover, ...]:
        """Those that move, in the order in which they start."""
        return tuple(mover for mover in self.movers if mover.moves)

    @property
    def key(self) -> str:
        """A canonical text of the clip: equal clips have equal keys."""
        return ";".join("/".join(mover) for mover in self.movers) + f";{self.event}{self.pair}"

    @property
    def bucket(self) -> Bucket:
        """The split this clip belongs to, from a hash of its key (80 / 10 / 10 per cent)."""
        return _BUCKETS[hashlib.blake2b(self.key.encode(), digest_size=4).digest()[0] % len(_BUCKETS)]

    @property
    def has_held_out(self) -> bool:
        """Whether any mover shows a held-out (shape, direction) pair."""
        return any((mover.shape, mover.direction) in HELD_OUT for mover in self.movers)


def _can_touch(first: Mover, second: Mover) -> bool:
    """Whether two movers can meet or part in plain sight: their directions differ."""
    return first.direction != second.direction


def make_clip(movers: Sequence[Mover], event: str = "", pair: Sequence[int] = ()) -> Clip:
    """A clip from movers in the order in which they start; still ones are put last.

    Args:
        movers: one to three, no two of the same colour and shape, at least one of them moving.
        event: ``meet``, ``part`` or empty.
        pair: which two movers (indices into `movers`) the event is about; their directions must differ.

    Raises:
        ValueError: anything else, named.
    """
    if not 1 <= len(movers) <= 3:
        raise ValueError(f"a clip holds 1 to 3 movers, not {len(movers)}")
    for mover in movers:
        known = (SHAPES, COLOURS, (*DIRECTIONS, STILL), SPEEDS if mover.moves else ("",))
        for word, words in zip(mover, known, strict=True):
            if word not in words:
                raise ValueError(f"unknown word {word!r}; known here: {', '.join(words)}")
    if len({mover[:2] for mover in movers}) != len(movers):
        raise ValueError("two movers have the same shape and colour, so nothing could name one of them")
    if not any(mover.moves for mover in movers):
        raise ValueError("nothing moves: at least one mover needs a direction")
    if (event in EVENTS) != (len(set(pair)) == 2) or (event and event not in EVENTS):
        raise ValueError(f"an event (meet or part) comes with a pair of two movers, not {event!r} with {tuple(pair)}")
    if pair and not _can_touch(*(movers[index] for index in pair)):
        raise ValueError(f"movers {tuple(pair)} go the same way, so they can neither meet nor part")
    order = sorted(range(len(movers)), key=lambda index: (not movers[index].moves, index))
    return Clip(tuple(movers[i] for i in order), event, tuple(sorted(order.index(index) for index in pair)))


def _draw_movers(rng: random.Random, most: int) -> list[Mover]:
    count = rng.choices(range(1, most + 1), weights=_COUNT_WEIGHTS[:most])[0]
    movers: list[Mover] = []
    while len(movers) < count:
        words = []
        for field, known in enumerate((SHAPES, COLOURS, DIRECTIONS, SPEEDS)):
            taken = [mover[field] for mover in movers if mover[field] in known]
            words.append(rng.choice(taken) if taken and rng.random() < _COPY else rng.choice(known))
        if rng.random() < _STILL:
            words[2:] = [STILL, ""]
        mover = Mover(*words)
        if all(mover[:2] != other[:2] for other in movers):
            movers.append(mover)
    return movers


def _draw(rng: random.Random, most: int) -> Clip:
    movers = _draw_movers(rng, most)
    while not any(mover.moves for mover in movers):
        movers = _draw_movers(rng, most)
    pairs = [pair for pair in combinations(range(len(movers)), 2) if _can_touch(*(movers[i] for i in pair))]
    if not pairs or rng.random() > _EVENTFUL:
        return make_clip(movers)
    return make_clip(movers, rng.choice(EVENTS), rng.choice(pairs))


def sample(
    bucket: Bucket, index: int, seed: int = 0, held_out: bool | None = None, *, most: int = len(_COUNT_WEIGHTS)
) -> Clip:
    """The ``index``-th clip of a split; a pure function of its arguments.

    Args:
        bucket: the split that the clip's hash must fall into.
        index: which clip; distinct indices are independent draws.
        seed: another seed is another sequence of clips.
        held_out: ``False`` for clips without held-out pairs, ``True`` for clips with at least one, ``None`` for any.
        most: the largest number of movers (1 to 3).
    """
    rng = random.Random(f"motion/{bucket}/{seed}/{index}/{held_out}")
    return of_split(lambda: _draw(rng, most), bucket, held_out)
