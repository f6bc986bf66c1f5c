"""Draws a clip as eight 64x64 RGB frames.

Owns pixels: the shapes and backgrounds are those of `midstream.pocket.render`, the places those of `paths`. A clip's
frames share one background; each has its own noise. Frames are a pure function of ``(clip, seed)``.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midstream.pocket.motion.paths import FRAMES, plan
from midstream.pocket.motion.world import Clip
from midstream.pocket.render import IMAGE_SIZE, MASK, OFFSETS, RGB, Floats, background, mask

FRAMES_PER_SECOND: Final = 4.0
_NOISE: Final = 3.0  # of each frame, besides the background's own

Pixels = NDArray[np.uint8]


class Drawn(NamedTuple):
    """``frames_FHW3``: the clip; ``cover_NFHW``: how much of each pixel each mover covers, 0 to 1."""

    frames_FHW3: Pixels
    cover_NFHW: Floats | None


def _window(place: float) -> tuple[NDArray[np.int64], int]:
    """The pixels (of one axis, around the torus) that a mask centred at `place` covers, and its sub-pixel step."""
    steps = round((place - MASK / 2) * OFFSETS)
    corner, step = divmod(steps + OFFSETS // 2, OFFSETS)
    return np.arange(corner, corner + MASK) % IMAGE_SIZE, step - OFFSETS // 2


def draw(clip: Clip, seed: int = 0, cover: bool = False) -> Drawn:
    """The frames, and where asked for what each mover covers: what an encoder's tags are made from."""
    rng = np.random.default_rng((seed, zlib.crc32(clip.key.encode())))
    paths = plan(clip, seed)
    noise_FHW1 = rng.standard_normal((FRAMES, IMAGE_SIZE, IMAGE_SIZE, 1), dtype=np.float32)
    frames_FHW3 = background(rng) + np.float32(rng.uniform(0, _NOISE)) * noise_FHW1
    covered = np.zeros((len(clip.movers), FRAMES, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32) if cover else None
    for number, mover in enumerate(clip.movers):
        paint = np.array(RGB[mover.colour], dtype=np.float32) + rng.uniform(-13, 13, 3).astype(np.float32)
        for time, (y, x) in enumerate(paths.places_NF2[number]):
            (rows, dy), (columns, dx) = _window(y), _window(x)
            shape_HW = mask(mover.shape, paths.radii[number], dx, dy)
            where = (time, rows[:, None], columns[None, :])
            under = frames_FHW3[where]
            frames_FHW3[where] = under + shape_HW[..., None] * (paint - under)
            if covered is not None:
                covered[(number, *where)] = shape_HW
    return Drawn(np.clip(frames_FHW3, 0, 255).astype(np.uint8), covered)


def render(clip: Clip, seed: int = 0) -> Pixels:
    """Eight frames, uint8 ``[8, 64, 64, 3]``; another seed is another background, other places, speeds and noise."""
    return draw(clip, seed).frames_FHW3


def frozen(frames_FHW3: Pixels, frame: int = FRAMES // 2) -> Pixels:
    """The clip that shows one of its frames all the time: the control for questions about motion.

    The fifth tells least of what pairs do: those that part are apart by then, most that meet still are.
    """
    return np.broadcast_to(frames_FHW3[frame], frames_FHW3.shape).copy()
