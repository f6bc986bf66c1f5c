"""Renders a scene as 2.9 seconds of sound at 16 kHz: what stands where in the picture is heard when.

Owns waveforms and nothing else. Nine time slots follow each other in reading order, one for each place; a thing sounds
in the slot of its place, with a pitch for its colour, a timbre for its shape and a loudness for its size::

    place    time slot      top-left first, bottom-right last, 0.32 s each
    colour   pitch          eight fundamentals from 300 Hz (red) to 1.6 kHz (black)
    shape    timbre         circle: sine; square: first and third harmonic; triangle: four, swelling; star: pulses;
                            cross: breathy, half noise; ring: a bell's partials that die away
    size     loudness       large is 10 dB above small

Onset, length, tuning, phase and level jitter, over a background of hum and noise. A sound is a pure function of
``(scene, seed)``. Periods are read from tables, so that a sound costs half a millisecond.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midstream.pocket.world import COLOURS, PLACES, SHAPES, Scene, Thing

RATE: Final = 16_000
SLOT: Final = 5120  # samples: 0.32 s
SAMPLES: Final = 9 * SLOT + 240  # and what a last window of 25 ms needs to be whole: 288 frames every 10 ms
HERTZ: Final = {colour: 300.0 * 2 ** (0.35 * step) for step, colour in enumerate(COLOURS)}
LEVEL: Final = {"small": 0.05, "large": 0.16}  # root mean square
_TABLE: Final = 2048
_BELL: Final = ((1.0, 1.0), (1.51, 0.6), (2.74, 0.5))  # (multiple of the fundamental, amplitude)
_POOL: Final = 1 << 18

Floats: TypeAlias = NDArray[np.float32]


class Note(NamedTuple):
    """Where a thing was put: its first sample, and its waveform ``[length]``."""

    start: int
    wave: Floats


@functools.cache
def _period(shape: str) -> Floats:
    """One period of a shape's wave; at most four harmonics, so that nothing of the highest pitch lies above 8 kHz."""
    turns = np.arange(_TABLE) * (2 * math.pi / _TABLE)
    strengths = {
        "circle": {1: 1.0},
        "square": {1: 1.0, 3: 0.7},
        "triangle": {1: 1.0, 2: 0.8, 3: 0.6, 4: 0.5},
        "star": {1: 1.0, 2: 0.4},
        "cross": {1: 1.0},
        "ring": {1: 1.0},
    }[shape]
    return np.asarray(sum(a * np.sin(n * turns) for n, a in strengths.items()), dtype=np.float32)


@functools.cache
def _noise() -> Floats:
    """A pool of unit noise to cut windows from: drawing fresh noise would cost more than the rest of the sound."""
    return np.random.default_rng(11).standard_normal(_POOL, dtype=np.float32)


def _cut(rng: np.random.Generator, length: int) -> Floats:
    start = int(rng.integers(_POOL - length))
    return _noise()[start : start + length]


def _tone(shape: str, hertz: float, length: int, phase: float) -> Floats:
    turns = (phase + hertz / RATE * np.arange(length)) * _TABLE
    return _period(shape)[turns.astype(np.int64) & (_TABLE - 1)]


def _envelope(length: int) -> Floats:
    """Fades of 10 ms at both ends, so that nothing clicks."""
    fade = np.ones(length, dtype=np.float32)
    ramp = np.sin(np.linspace(0, math.pi / 2, 160, dtype=np.float32)) ** 2
    fade[:160], fade[-160:] = ramp, ramp[::-1]
    return fade


def _sound(thing: Thing, hertz: float, length: int, rng: np.random.Generator) -> Floats:
    """A thing's sound at its timbre, any level."""
    time = np.arange(length, dtype=np.float32) / RATE
    phase = float(rng.random())
    if thing.shape == "ring":
        partials = [a * _tone("ring", n * hertz, length, float(rng.random())) for n, a in _BELL]
        return np.asarray(sum(partials) * np.exp(-time / 0.07), dtype=np.float32)
    wave = _tone(thing.shape, hertz, length, phase)
    if thing.shape == "triangle":
        return wave * (0.1 + time / time[-1])
    if thing.shape == "star":
        pulses = np.sin((2 * math.pi * rng.uniform(17, 22)) * time + np.float32(2 * math.pi * rng.random()))
        return wave * np.where(pulses > 0, 1.0, 0.05).astype(np.float32)
    if thing.shape == "cross":
        return wave + 0.8 * _cut(rng, length)
    return wave


def _note(thing: Thing, rng: np.random.Generator) -> Note:
    length = int(rng.integers(3700, 4700))
    start = PLACES.index(thing.place) * SLOT + int(rng.integers(0, SLOT - length)) + 200
    hertz = HERTZ[thing.colour] * 2 ** rng.uniform(-0.07, 0.07)
    wave = _sound(thing, hertz, length, rng) * _envelope(length)
    level = LEVEL[thing.size] * 10 ** rng.uniform(-0.07, 0.07)
    return Note(start, wave * np.float32(level / math.sqrt(float(np.mean(wave**2)))))


def _background(rng: np.random.Generator) -> Floats:
    noise = _cut(rng, SAMPLES + 8)
    if rng.random() < 0.5:  # a duller one
        sums = np.cumsum(noise, dtype=np.float32)
        noise = (sums[8:] - sums[:-8]) / np.float32(math.sqrt(8))
    hum = np.sin(2 * math.pi * rng.uniform(45, 120) / RATE * np.arange(SAMPLES, dtype=np.float32))
    return np.float32(10 ** rng.uniform(-3.5, -2.2)) * noise[:SAMPLES] + np.float32(rng.uniform(0, 0.03)) * hum


def play(scene: Scene, seed: int = 0) -> tuple[Floats, list[Note]]:
    """A sound and where its things went: float32 ``[SAMPLES]`` within -1..1, and a note per thing, in order."""
    rng = np.random.default_rng((seed, zlib.crc32(scene.key.encode())))
    wave = _background(rng)
    notes = [_note(thing, rng) for thing in scene.things]
    for note in notes:
        wave[note.start : note.start + len(note.wave)] += note.wave
    return np.clip(wave, -1, 1), notes


def render(scene: Scene, seed: int = 0) -> Floats:
    """A sound of a scene, float32 ``[SAMPLES]`` at `RATE`; another seed is another background, jitter and noise."""
    return play(scene, seed)[0]


assert set(SHAPES) == {"circle", "square", "triangle", "star", "cross", "ring"}
