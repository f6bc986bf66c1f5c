"""Draws a scene as a 64x64 RGB picture.

Owns pixels and nothing else. Shapes are anti-aliased masks computed once (8x supersampling, several sizes and sub-pixel
offsets) and blended onto a background of varied level, tint, gradient and noise, so a picture costs a fraction of a
millisecond. A picture is a pure function of ``(scene, seed)``.

Backgrounds stay between a dark and a light grey, so that both a black and a white thing are seen on each of them.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from midstream.pocket.world import PLACES, SHAPES, Scene, Thing

IMAGE_SIZE: Final = 64
CELL: Final = IMAGE_SIZE / 3
RGB: Final = {
    "red": (212, 38, 40),
    "orange": (243, 138, 28),
    "yellow": (240, 222, 52),
    "green": (38, 158, 62),
    "blue": (42, 84, 214),
    "purple": (142, 48, 172),
    "white": (246, 246, 246),
    "black": (16, 16, 16),
}
_RADII: Final = {"small": (4.2, 4.6, 5.0, 5.4), "large": (8.0, 8.5, 9.0, 9.4)}
MASK: Final = 23  # pixels: the largest shape, a sub-pixel offset and a rim
_OVER: Final = 8
OFFSETS: Final = 4  # sub-pixel steps per axis

Floats: TypeAlias = NDArray[np.float32]


class Spot(NamedTuple):
    """Where a thing was drawn: ``mask_HW`` (0 to 1) with its top-left corner at pixel ``(row, column)``."""

    row: int
    column: int
    mask_HW: Floats


def _polygon(
    points: list[tuple[float, float]], centre: tuple[float, float], radius: float
) -> list[tuple[float, float]]:
    return [(centre[0] + radius * x, centre[1] + radius * y) for x, y in points]


def _star() -> list[tuple[float, float]]:
    turns = [(math.pi * k / 5, 1.08 if k % 2 == 0 else 0.45) for k in range(10)]
    return [(r * math.sin(a), -r * math.cos(a)) for a, r in turns]


_POLYGONS: Final = {
    "square": [(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)],
    "triangle": [(0.0, -0.98), (1.02, 0.82), (-1.02, 0.82)],
    "star": _star(),
}


@functools.cache
def mask(shape: str, radius: float, dx: int, dy: int) -> Floats:
    """An anti-aliased shape, 0 to 1, ``[MASK, MASK]``, its centre ``dx`` and ``dy`` quarter pixels off the middle."""
    side = MASK * _OVER
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    x, y = (side / 2 + step * _OVER / OFFSETS for step in (dx, dy))
    r = radius * _OVER
    if shape in _POLYGONS:
        draw.polygon(_polygon(_POLYGONS[shape], (x, y), r), fill=255)
    elif shape == "cross":
        arm = 0.34 * r
        draw.rectangle((x - r, y - arm, x + r, y + arm), fill=255)
        draw.rectangle((x - arm, y - r, x + arm, y + r), fill=255)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        if shape == "ring":
            hole = 0.54 * r
            draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    pixels = np.asarray(canvas, dtype=np.float32).reshape(MASK, _OVER, MASK, _OVER)
    return (pixels.mean(axis=(1, 3)) / 255).astype(np.float32)


@functools.cache
def _noise() -> Floats:
    """A pool of unit noise to cut windows from: drawing fresh noise would cost more than the rest of the picture."""
    return np.random.default_rng(7).standard_normal((512, 512, 3), dtype=np.float32)


@functools.cache
def _ramps() -> Floats:
    line = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    return np.stack(
        [np.broadcast_to(line[:, None], (IMAGE_SIZE, IMAGE_SIZE)), np.broadcast_to(line, (IMAGE_SIZE, IMAGE_SIZE))]
    )


def background(rng: np.random.Generator) -> Floats:
    """A grey of varied level, tint, slope and noise, ``[64, 64, 3]``, 0 to 255."""
    level, tint, slope = rng.uniform(78, 172), rng.uniform(-14, 14, 3), rng.uniform(-16, 16, 2)
    noise, (top, left) = rng.uniform(0, 7), rng.integers(0, 512 - IMAGE_SIZE, 2)
    ramps = _ramps()
    shade_HW = slope[0] * ramps[0] + slope[1] * ramps[1]
    window = _noise()[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    base: Floats = (level + tint).astype(np.float32)
    return shade_HW.astype(np.float32)[..., None] + base + np.float32(noise) * window


def _spot(thing: Thing, rng: np.random.Generator) -> Spot:
    radii = _RADII[thing.size]
    pick, dx, dy = (int(value) for value in rng.integers(0, (len(radii), OFFSETS, OFFSETS)))
    slack = CELL / 2 - radii[pick] - 0.6
    row, column = divmod(PLACES.index(thing.place), 3)
    y, x = (np.array([row, column]) + 0.5) * CELL + rng.uniform(-slack, slack, 2) - MASK / 2
    return Spot(round(y), round(x), mask(thing.shape, radii[pick], dx, dy))


def draw(scene: Scene, seed: int) -> tuple[Image.Image, list[Spot]]:
    """The picture and, for each thing, where it is: what an encoder's tags are made from."""
    rng = np.random.default_rng((seed, zlib.crc32(scene.key.encode())))
    canvas = background(rng)
    spots = []
    for thing in scene.things:
        spot = _clip(_spot(thing, rng))
        height, width = spot.mask_HW.shape
        window = canvas[spot.row : spot.row + height, spot.column : spot.column + width]
        paint = np.array(RGB[thing.colour], dtype=np.float32) + rng.uniform(-13, 13, 3).astype(np.float32)
        window += spot.mask_HW[..., None] * (paint - window)
        spots.append(spot)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), spots


def _clip(spot: Spot) -> Spot:
    """Cut off what would lie outside of the picture (only ever the mask's empty rim)."""
    top, left = max(0, -spot.row), max(0, -spot.column)
    row, column = spot.row + top, spot.column + left
    return Spot(row, column, spot.mask_HW[top : top + IMAGE_SIZE - row, left : left + IMAGE_SIZE - column])


def render(scene: Scene, seed: int = 0) -> Image.Image:
    """A 64x64 RGB picture of a scene; another seed is another background, jitter and noise."""
    return draw(scene, seed)[0]


assert set(SHAPES) == {*_POLYGONS, "cross", "circle", "ring"}
