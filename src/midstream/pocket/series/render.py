"""Draws a recording as 96 samples of three channels.

Owns samples in time and nothing else; a series is a pure function of ``(recording, seed)``. A channel is::

    level (+1 or -1)  +  trend (a slope)  +  wave (a sine)  +  noise,    then the fault: a spike, or a gap of zeros

A fast wave has 9 to 14 periods in the recording and a slow one 2 to 4; a trend climbs or drops by 0.9 to 1.5 from end
to end, a flat line by less than 0.15; a gap is 8 to 13 samples long, a spike one or two. A third of the time is *left*,
*centre* or *right*.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from midstream.pocket.series.world import CHANNELS, TIMES, Fault, Recording

STEPS: Final = 96
_THIRD: Final = STEPS // len(TIMES)
_TIME: Final = np.linspace(0.0, 1.0, STEPS, dtype=np.float32)[:, None]


def render(recording: Recording, seed: int = 0) -> NDArray[np.float32]:
    """The recording as ``(STEPS, 3)`` values of about -2.5 to 2.5 (a spike may reach 4.5).

    Args:
        recording: what to draw.
        seed: noise, phases, and all that the words leave open.
    """
    rng = _generator(recording, seed)
    begin, end = _span(recording.fault, rng) if recording.fault else (0, 0)  # drawn first, so that `spans` finds it
    lines = recording.lines
    level = np.array([1.0 if line.level == "high" else -1.0 for line in lines]) + rng.uniform(-0.15, 0.15, 3)
    climb = rng.uniform(0.9, 1.5, 3) * [{"rising": 1, "falling": -1, "flat": 0}[line.trend] for line in lines]
    climb = np.where(climb == 0, rng.uniform(-0.15, 0.15, 3), climb)
    periods = [rng.uniform(*{"fast": (9, 14), "slow": (2, 4), "smooth": (1, 2)}[line.wave]) for line in lines]
    height = rng.uniform(0.22, 0.4, 3) * [line.wave != "smooth" for line in lines]
    phase = rng.uniform(0, 2 * np.pi, 3)
    wave = height * np.sin(2 * np.pi * np.array(periods) * _TIME + phase)
    series = level + climb * (_TIME - 0.5) + wave
    series += rng.uniform(0.02, 0.08, 3) * rng.standard_normal((STEPS, 3))
    if recording.fault:
        channel = CHANNELS.index(recording.fault.colour)
        jump = rng.choice((-1, 1)) * rng.uniform(1.3, 2.2)
        series[begin:end, channel] = 0.0 if recording.fault.kind == "gap" else series[begin:end, channel] + jump
    return series.astype(np.float32)


def spans(recording: Recording, seed: int = 0) -> NDArray[np.bool_]:
    """Which of the ``STEPS`` samples the fault covers in what `render` draws for the same seed."""
    covered = np.zeros(STEPS, dtype=bool)
    if recording.fault:
        begin, end = _span(recording.fault, _generator(recording, seed))
        covered[begin:end] = True
    return covered


def _generator(recording: Recording, seed: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(recording.key.encode()), seed])


def _span(fault: Fault, rng: np.random.Generator) -> tuple[int, int]:
    """First sample of the fault and the one after its last, inside the third of the time that the words name."""
    length = int(rng.integers(1, 3) if fault.kind == "spike" else rng.integers(8, 14))
    begin = TIMES.index(fault.place) * _THIRD + int(rng.integers(2, _THIRD - length - 1))
    return begin, begin + length
