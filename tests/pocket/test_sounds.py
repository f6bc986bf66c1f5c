"""Sounds: deterministic; pitch, loudness and time can be measured by other means; tags, spectrogram and rows agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from midstream.pocket.rows import Split
from midstream.pocket.sounds.data import example
from midstream.pocket.sounds.encoder_training import TIMES, extractor, spectrum_of, tagged_batch, tags
from midstream.pocket.sounds.render import HERTZ, RATE, SAMPLES, SLOT, Floats, play, render
from midstream.pocket.world import COLOURS, PLACES, SHAPES, Thing, make_scene, sample_scene


def _alone(shape: str = "circle", colour: str = "red", size: str = "large", place: str = "centre") -> Floats:
    return render(make_scene([Thing(shape, colour, size, place)]), 5)


def _hertz(wave: Floats) -> float:
    """The strongest frequency above the background's hum."""
    strength = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 18))
    hertz = np.fft.rfftfreq(1 << 18, 1 / RATE)
    return float(hertz[np.where(hertz > 200, strength, 0).argmax()])


def test_a_sound_is_a_function_of_scene_and_seed() -> None:
    scenes = [sample_scene("test", i) for i in range(20)]
    sounds = [render(scene, 1) for scene in scenes]
    assert all(sound.dtype == np.float32 and sound.shape == (SAMPLES,) for sound in sounds)
    assert max(np.abs(sound).max() for sound in sounds) <= 1
    assert all(np.array_equal(render(scene, 1), sound) for scene, sound in zip(scenes, sounds, strict=True))
    assert not any(np.array_equal(render(scene, 2), sound) for scene, sound in zip(scenes, sounds, strict=True))
    assert len({sound.tobytes() for sound in sounds}) == len(set(scenes))


def test_colour_is_heard_as_pitch() -> None:
    for shape in ("circle", "square", "cross"):
        heard = [_hertz(_alone(shape, colour)) for colour in COLOURS]
        for colour, hertz in zip(COLOURS, heard, strict=True):
            nearest = min(COLOURS, key=lambda known: abs(np.log(HERTZ[known] / hertz)))
            assert nearest == colour, (shape, hertz)


def test_place_is_heard_as_time() -> None:
    for number, place in enumerate(PLACES):
        loud = np.flatnonzero(np.abs(_alone(place=place)) > 0.1)
        assert number * SLOT <= loud.min() <= loud.max() < (number + 1) * SLOT + 240


def test_size_is_heard_as_loudness_whatever_the_shape() -> None:
    level = {
        size: [float(play(make_scene([Thing(s, "blue", size, "top")]), seed)[1][0].wave.std()) for s in SHAPES]
        for size in ("small", "large")
        for seed in (1,)
    }
    assert max(level["small"]) < 0.5 * min(level["large"])
    assert max(level["large"]) < 1.6 * min(level["large"])


def test_shape_is_heard_as_timbre() -> None:
    """At one pitch and level: the share of power above twice the fundamental, and how it changes over time."""

    def timbre(shape: str, seed: int) -> tuple[float, ...]:
        wave = play(make_scene([Thing(shape, "green", "large", "left")]), seed)[1][0].wave
        power = np.abs(np.fft.rfft(wave)) ** 2
        bands = np.fft.rfftfreq(len(wave), 1 / RATE) / HERTZ["green"]
        parts = [float(power[(low < bands) & (bands < high)].sum() / power.sum()) for low, high in BANDS]
        third = len(wave) // 3
        return (*parts, float(wave[:third].std() / wave.std()), float(wave[-third:].std() / wave.std()), _gaps(wave))

    BANDS = ((0.9, 1.1), (1.4, 1.6), (1.8, 2.2), (2.6, 3.3), (4.5, 99))
    centres = {shape: np.mean([timbre(shape, seed) for seed in range(8)], axis=0) for shape in SHAPES}
    right = [
        min(SHAPES, key=lambda known: float(np.abs(centres[known] - timbre(shape, seed)).sum())) == shape
        for shape in SHAPES
        for seed in range(8, 12)
    ]
    assert np.mean(right) > 0.9


def _gaps(wave: Floats) -> float:
    """The share of 5 ms windows that are nearly silent."""
    levels = np.abs(wave[: len(wave) // 80 * 80]).reshape(-1, 80).max(1)
    return float(np.mean(levels < 0.15 * levels.max()))


def test_the_quick_spectrogram_is_the_extractors() -> None:
    wave = _alone("ring")
    theirs = torch.tensor(np.asarray(extractor()(wave, sampling_rate=RATE)["input_values"][0]))
    ours = spectrum_of(wave)
    assert ours.shape == (288, 64)
    assert (ours - theirs).abs().max() < 1e-3
    assert (spectrum_of(_alone("star")) - theirs).abs().max() > 0.5  # control


def test_tags_say_what_sounds_when() -> None:
    scene = make_scene([Thing("star", "blue", "large", "top-left"), Thing("ring", "red", "small", "bottom-right")])
    times, slots = tags(scene, play(scene, 0)[1])
    blue, red = (SHAPES.index("star") + 1, COLOURS.index("blue") + 1, 2), (SHAPES.index("ring") + 1, 1, 1)
    assert tuple(slots[0]) == blue and tuple(slots[8]) == red and not slots[1:8].any()
    assert times.shape == (TIMES, 3)
    assert {tuple(time) for time in times[:2].tolist()} <= {blue, (0, 0, 0)} and blue in map(tuple, times.tolist())
    assert red in map(tuple, times[-2:].tolist()) and not times[2:-2].any()


def test_tagged_batches_are_normalised_and_deterministic() -> None:
    one, again = (tagged_batch("train", 0, 0, size=24) for _ in range(2))
    assert torch.equal(one.spectra, again.spectra) and torch.equal(one.times, again.times)
    assert one.spectra.mean().abs() < 0.3 and abs(one.spectra.std().item() - 1) < 0.3


def test_rows_carry_a_sound_and_speak_of_hearing() -> None:
    row = example("train", 4, questions_per_scene=6)
    first = row["messages"][0]["content"]
    assert [part["type"] for part in first] == ["audio", "text"]
    assert first[0]["audio"]["sampling_rate"] == RATE and first[0]["audio"]["array"].shape == (SAMPLES,)
    assert repr(row) == repr(example("train", 4, questions_per_scene=6))
    assert len(row["types"]) == len(row["messages"]) // 2 == 7
    texts = [message["content"][-1]["text"] for i in range(60) for message in example("test", i, 0, 8)["messages"][::2]]
    assert any(" hear" in text for text in texts) and any(" sound" in text for text in texts)
    assert not any(" see" in text or " picture" in text for text in texts)
    with pytest.raises(ValueError, match="unknown split"):
        example("dev", 0)  # type: ignore[arg-type]


def test_splits_keep_held_out_things_apart() -> None:
    held = {"red star", "orange ring", "green square", "blue cross", "white circle", "black triangle"}

    def shown(split: Split) -> int:
        texts = [example(split, i, 0, 1)["description"] for i in range(60)]
        return sum(any(f"{pair} " in text for pair in held) for text in texts)

    assert shown("train") == shown("test") == 0
    assert shown("held_out") > 20  # the others say "the star ... is ... red"
