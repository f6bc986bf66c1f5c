"""The pocket series: latent recordings of three lines, one per channel, with at most one fault among them.

Owns what a recording *is*, how one is drawn from ``(bucket, index, seed)``, and which split it belongs to. Knows
nothing of language (``language``), of samples in time (``render``) or of training rows (``data``).

Splits go by a hash of the latent recording. Three of the 27 (colour, trend, wave) triples are *held out*, one per
channel: connector training never sees, say, the red line rising with a fast wave, though it sees it rise, sees it with
a fast wave, and sees other lines do both.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final, NamedTuple

from midstream.pocket.world import Bucket, of_split

CHANNELS: Final = ("red", "green", "blue")
TRENDS: Final = ("rising", "falling", "flat")
WAVES: Final = ("fast", "slow", "smooth")
LEVELS: Final = ("high", "low")
FAULTS: Final = ("spike", "gap")
TIMES: Final = ("left", "centre", "right")
HELD_OUT: Final = frozenset(
    {("red", "rising", "fast"), ("green", "falling", "slow"), ("blue", "flat", "smooth")},
)
_BUCKETS: Final[tuple[Bucket, ...]] = ("train",) * 8 + ("validation", "test")
_FAULTLESS: Final = 0.25  # share of recordings in which nothing is wrong


class Line(NamedTuple):
    """One channel: four words."""

    colour: str
    trend: str
    wave: str
    level: str


class Fault(NamedTuple):
    """What is wrong, in which third of the time, in which channel."""

    kind: str
    place: str
    colour: str


class Recording(NamedTuple):
    """Three lines in the order of `CHANNELS` and what is wrong with one of them, if anything."""

    lines: tuple[Line, ...]
    fault: Fault | None

    @property
    def key(self) -> str:
        """A canonical text of the recording: equal recordings have equal keys."""
        return ";".join("/".join(part) for part in (*self.lines, self.fault or ()))

    @property
    def bucket(self) -> Bucket:
        """The split this recording belongs to, from a hash of its key (80 / 10 / 10 per cent)."""
        return _BUCKETS[hashlib.blake2b(self.key.encode(), digest_size=4).digest()[0] % len(_BUCKETS)]

    @property
    def has_held_out(self) -> bool:
        """Whether any line shows a held-out (colour, trend, wave)."""
        return any(line[:3] in HELD_OUT for line in self.lines)


def make_recording(lines: tuple[Line, ...], fault: Fault | None = None) -> Recording:
    """A recording from its three lines, in the order of `CHANNELS`, and its fault.

    Raises:
        ValueError: other channels, or an unknown word.
    """
    if tuple(line.colour for line in lines) != CHANNELS:
        raise ValueError(f"a recording's lines are {', '.join(CHANNELS)}, not {', '.join(x.colour for x in lines)}")
    checks = [(line, (CHANNELS, TRENDS, WAVES, LEVELS)) for line in lines]
    for words, known in [*checks, *([(fault, (FAULTS, TIMES, CHANNELS))] if fault else [])]:
        for word, allowed in zip(words, known, strict=True):
            if word not in allowed:
                raise ValueError(f"unknown word {word!r}; known here: {', '.join(allowed)}")
    return Recording(tuple(lines), fault)


def _draw(rng: random.Random) -> Recording:
    lines = tuple(Line(colour, rng.choice(TRENDS), rng.choice(WAVES), rng.choice(LEVELS)) for colour in CHANNELS)
    faulty = rng.random() >= _FAULTLESS
    return Recording(lines, Fault(rng.choice(FAULTS), rng.choice(TIMES), rng.choice(CHANNELS)) if faulty else None)


def sample(bucket: Bucket, index: int, seed: int = 0, held_out: bool | None = None) -> Recording:
    """The ``index``-th recording of a split; a pure function of its arguments.

    Args:
        bucket: the split the recording's hash must fall into.
        index: which recording; distinct indices are independent draws.
        seed: another seed is another sequence of recordings.
        held_out: ``False`` for recordings without held-out triples, ``True`` for recordings with at least one,
            ``None`` for any.
    """
    rng = random.Random(f"series/{bucket}/{seed}/{index}/{held_out}")
    return of_split(lambda: _draw(rng), bucket, held_out)
