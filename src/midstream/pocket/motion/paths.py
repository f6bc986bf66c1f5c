"""Where each mover of a clip is at each moment: what has to be true on the screen for the words to be true.

Owns starting times, speeds, meeting, parting and keeping everything else apart. Knows nothing of pixels' colours.

The picture is a torus: what leaves at an edge comes back at the opposite one, so places are uniform at every moment,
whatever the direction. Movers start two or three frames apart. A pair that meets approaches, touches and stops; a pair
that parts touches until the first of them starts. No other two objects ever come near each other::

    meet   A>      <B      A>  <B       A><B      A><B  (both stopped)
    part    <AB>       <AB>      <A  B>   <A    B>  (both stopped)
"""

from __future__ import annotations

import random
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midstream.pocket.motion.world import Clip
from midstream.pocket.render import IMAGE_SIZE

FRAMES: Final = 8
RADII: Final = (5.4, 5.8, 6.2)  # pixels
_PACE: Final = {"slow": (1.9, 2.6), "fast": (4.4, 5.4), "": (0.0, 0.0)}  # pixels per frame
_STEP: Final = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0), "still": (0, 0)}  # (row, column)
_STARTS: Final = {1: ((0,), (1,), (2,)), 2: ((0, 2), (0, 3), (1, 3), (1, 4)), 3: ((0, 2, 4),)}
_RUN: Final = 1.5  # frames that both of a pair move before they meet, at least
_LAST_CONTACT: Final = 6.5
_STROLL: Final = 3.5  # frames after which the movers of a pair that parted stop, lest they meet behind the edge
_TOUCH: Final = 0.92  # centres of touching objects are so much of the sum of their radii apart
_APART: Final = 1.25  # ... and of all others at least so much
_SEEN: Final = 0.5  # frames before a meeting (after a parting) in which a gap may still be too narrow to see
_GAP: Final = 0.7  # pixels
_TRIES: Final = 32
_MOMENTS: Final = np.arange(0, FRAMES - 0.75, 0.25)  # quarters of a frame: nothing passes unseen between two frames

Floats = NDArray[np.float64]


class Paths(NamedTuple):
    """``places_NF2``: row and column of each mover's centre in each frame, 0 to 64; ``radii`` in pixels."""

    places_NF2: Floats
    radii: tuple[float, ...]


class _Timing(NamedTuple):
    starts_N: Floats  # frame at which each starts to move; never (infinite) for what is still
    stops_N: Floats  # frame at which each stops
    velocities_N2: Floats  # pixels per frame
    contact: float  # frame at which the pair meets, or until which it touches


def _timing(clip: Clip, rng: random.Random) -> _Timing:
    late = {"meet": 0, "part": 1}.get(clip.event, rng.randrange(2))
    turns = rng.choice(_STARTS[len(clip.moving)])
    starts = [float(turns[i] + late) if mover.moves else np.inf for i, mover in enumerate(clip.movers)]
    stops = [np.inf] * len(clip.movers)
    contact = min((starts[index] for index in clip.pair), default=np.inf)
    if clip.event == "meet":
        last = max(starts[index] for index in clip.pair if clip.movers[index].moves)
        contact = rng.uniform(last + _RUN, _LAST_CONTACT)
        for index in clip.pair:
            stops[index] = contact
    if clip.event == "part":
        for index in clip.pair:
            stops[index] = starts[index] + _STROLL
    pace = [rng.uniform(*_PACE[mover.speed]) for mover in clip.movers]
    velocities = np.array([np.multiply(_STEP[mover.direction], v) for mover, v in zip(clip.movers, pace, strict=True)])
    return _Timing(np.array(starts), np.array(stops), velocities, contact)


def _travelled(timing: _Timing, moments_T: Floats) -> Floats:
    """How far each mover has come by each moment, ``[N, T, 2]``."""
    moved_NT = np.clip(np.minimum(moments_T, timing.stops_N[:, None]) - timing.starts_N[:, None], 0, None)
    return moved_NT[..., None] * timing.velocities_N2[:, None]


def _between(first: Floats, second: Floats) -> Floats:
    """Distance on the torus between places ``[..., 2]``."""
    gap = np.abs(first - second) % IMAGE_SIZE
    return np.hypot(*np.moveaxis(np.minimum(gap, IMAGE_SIZE - gap), -1, 0))


def _contact_normal(clip: Clip, rng: random.Random) -> Floats:
    """Unit vector from the second of the pair to the first when they touch: along their difference of direction."""
    first, second = (np.array(_STEP[clip.movers[index].direction], dtype=float) for index in clip.pair)
    apart = first - second if clip.event == "part" else second - first
    turn = np.arctan2(*apart) + rng.uniform(-0.3, 0.3)
    return np.array([np.sin(turn), np.cos(turn)])


def plan(clip: Clip, seed: int) -> Paths:
    """Paths on which the clip's words come true; a pure function of its arguments."""
    rng = random.Random(f"paths/{seed}/{clip.key}")
    count = len(clip.movers)
    while True:
        radii = tuple(rng.choice(RADII) for _ in clip.movers)
        timing = _timing(clip, rng)
        travelled_NT2 = _travelled(timing, _MOMENTS)
        origins_KN2 = np.random.default_rng(rng.getrandbits(64)).uniform(0, IMAGE_SIZE, (_TRIES, count, 2))
        if clip.event:
            first, second = clip.pair
            then_N2 = _travelled(timing, np.array([timing.contact]))[:, 0]
            touching = _TOUCH * (radii[first] + radii[second]) * _contact_normal(clip, rng)
            origins_KN2[:, first] = origins_KN2[:, second] + then_N2[second] - then_N2[first] + touching
        places_KNT2 = origins_KN2[:, :, None] + travelled_NT2
        good_K = np.ones(_TRIES, dtype=bool)
        for one, other in combinations(range(count), 2):
            distance_KT = _between(places_KNT2[:, one], places_KNT2[:, other])
            least = _APART * (radii[one] + radii[other])
            if (one, other) == clip.pair:
                early = timing.contact - _SEEN > _MOMENTS
                seen_T = early if clip.event == "meet" else timing.contact + _SEEN < _MOMENTS
                distance_KT = distance_KT[:, seen_T]
                least = _TOUCH * (radii[one] + radii[other]) + _GAP
            good_K &= (distance_KT > least).all(1)
        if good_K.any():
            places_NT2 = places_KNT2[int(good_K.argmax())]
            return Paths(places_NT2[:, ::4] % IMAGE_SIZE, radii)
