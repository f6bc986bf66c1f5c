"""The pocket series: recordings, what is said of them, and what is drawn are the same thing told three ways."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from series_reading import answer, recording_of

from midstream.data.rows import check_row
from midstream.pocket import language as pictures
from midstream.pocket import world as picture_world
from midstream.pocket.series import encoder_training as training
from midstream.pocket.series import language
from midstream.pocket.series.data import example
from midstream.pocket.series.render import STEPS, render, spans
from midstream.pocket.series.world import (
    CHANNELS,
    HELD_OUT,
    LEVELS,
    TIMES,
    TRENDS,
    WAVES,
    Fault,
    Line,
    Recording,
    make_recording,
    sample,
)

Asked = list[tuple[Recording, language.Question]]


@pytest.fixture(scope="module")
def asked() -> Asked:
    found = []
    for index in range(900):
        recording = sample("validation", index)
        found += [(recording, question) for question in language.ask_many(recording, random.Random(index), 8)]
    return found


def test_a_recording_is_a_pure_function_of_its_arguments_and_stays_in_its_split() -> None:
    for bucket in ("train", "validation", "test"):
        drawn = [sample(bucket, index, 3) for index in range(60)]
        assert drawn == [sample(bucket, index, 3) for index in range(60)]
        assert {recording.bucket for recording in drawn} == {bucket}
    assert sample("train", 0, 0) != sample("train", 0, 1) or sample("train", 1, 0) != sample("train", 1, 1)


def test_held_out_triples_are_kept_out_but_their_words_are_not() -> None:
    without = [sample("train", index, held_out=False) for index in range(400)]
    seen = {line[:3] for recording in without for line in recording.lines}
    assert not seen & HELD_OUT and len(seen) == 27 - len(HELD_OUT)
    for colour, trend, wave in HELD_OUT:
        assert any(line[0] == colour and line[1] == trend for line in seen)
        assert any(line[0] == colour and line[2] == wave for line in seen)
        assert any(line[1:] == (trend, wave) for line in seen)
    assert all(sample("test", index, held_out=True).has_held_out for index in range(60))
    assert {
        line[:3] for i in range(400) for line in sample("train", i).lines
    } >= HELD_OUT  # control: without the filter


def test_unknown_words_are_refused() -> None:
    lines = tuple(Line(colour, "flat", "slow", "low") for colour in CHANNELS)
    assert make_recording(lines, Fault("gap", "left", "red")).fault is not None
    with pytest.raises(ValueError, match="unknown word 'steep'"):
        make_recording((lines[0]._replace(trend="steep"), *lines[1:]))
    with pytest.raises(ValueError, match="unknown word 'top'"):
        make_recording(lines, Fault("gap", "top", "red"))
    with pytest.raises(ValueError, match="lines are red, green, blue"):
        make_recording(lines[::-1])
    with pytest.raises(ValueError, match="unknown kind of question"):
        language.ask(sample("train", 0), random.Random(0), "colour")


def test_every_description_says_the_whole_recording() -> None:
    starts = Counter()
    for index in range(300):
        recording, rng = sample("train", index), random.Random(index)
        for text in (language.describe(recording, rng), language.canonical(recording)):
            assert recording_of(text) == recording, text
        starts[" ".join(language.describe(recording, rng, plain=True).split()[:2])] += 1
        # control: one word changed is another recording
        word = recording.lines[0].level
        changed = re.sub(rf"\b{word}\b", "low" if word == "high" else "high", language.canonical(recording), count=1)
        assert recording_of(changed) != recording
    assert len(starts) > 3


def test_every_answer_is_true_under_a_second_reading(asked: Asked) -> None:
    for recording, question in asked:
        assert answer(question.text, recording) == question.answer, (recording, question)
    wrong = 0  # control: of another recording the same question is often answered otherwise, or makes no sense
    for (recording, _), (_, question) in zip(asked, asked[40:], strict=False):
        try:
            wrong += answer(question.text, recording) != question.answer
        except ValueError:
            wrong += 1
    assert wrong > 0.5 * len(asked)


def test_the_question_alone_does_not_give_the_answer(asked: Asked) -> None:
    by_text: dict[str, Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in asked:
        by_text[question.text][question.answer] += 1
        by_kind[question.kind][question.answer] += 1
    often = [counts for counts in by_text.values() if counts.total() >= 20]
    best = sum(counts.most_common(1)[0][1] for counts in often) / sum(counts.total() for counts in often)
    assert len(often) > 50 and best < 0.58
    limits = {"trend": 0.4, "wave": 0.4, "line": 0.4, "place": 0.4, "fault": 0.35, "count": 0.5}
    assert set(by_kind) == set(language.QUESTION_TYPES)
    for kind, counts in by_kind.items():
        assert counts.most_common(1)[0][1] / counts.total() < limits.get(kind, 0.56), (kind, counts)


def test_all_words_are_those_of_pictures_or_listed() -> None:
    def words(texts: list[str]) -> set[str]:
        return set(re.findall(r"[a-z-]+", " ".join(texts)))

    known: list[str] = []
    said: list[str] = []
    for index in range(800):
        rng = random.Random(index)
        scene, recording = picture_world.sample_scene("train", index), sample("train", index)
        known.append(pictures.describe(scene, rng))
        said.append(language.describe(recording, rng))
        for texts, questions in (
            (known, [*pictures.ask_many(scene, rng, 4), pictures.ask_describe(scene, rng)]),
            (said, [*language.ask_many(recording, rng, 4), language.ask_describe(recording, rng)]),
        ):
            texts += [f"{question.text} {question.answer}" for question in questions]
    assert words(said) - words(known) == set(language.WORDS)


def _measured(series: np.ndarray) -> list[tuple[str, str, str]]:
    """Trend, wave and level of each channel, by least squares and a Fourier transform."""
    found = []
    for channel in series.T:
        kept = channel[np.abs(np.diff(channel, prepend=channel[0])) + np.abs(channel) > 0]
        middle = np.median(np.abs(kept - np.median(kept)))
        kept = kept[np.abs(kept - np.median(kept)) < 5 * middle + 0.3]
        time_axis = np.linspace(0, 1, len(kept))
        slope, offset = np.polyfit(time_axis, kept, 1)
        rest = kept - slope * time_axis - offset
        power = np.abs(np.fft.rfft(rest * np.hanning(len(rest)))) ** 2
        trend = "flat" if abs(slope) < 0.6 else "rising" if slope > 0 else "falling"
        wave = "smooth" if rest.std() < 0.12 else "fast" if power[7:].sum() > power[:7].sum() else "slow"
        found.append((trend, wave, "high" if np.median(kept) > 0 else "low"))
    return found


def test_what_is_drawn_is_what_is_said() -> None:
    right = control = 0
    previous = None
    for index in range(150):
        recording = sample("train", index)
        measured = _measured(render(recording, index))
        said = [(line.trend, line.wave, line.level) for line in recording.lines]
        right += sum(a == b for a, b in zip(measured, said, strict=True))
        control += sum(a == b for a, b in zip(measured, previous or said, strict=True))
        previous = said
    assert right > 0.9 * 450
    assert control < 0.3 * 450  # the recording before


def test_faults_are_where_the_words_say() -> None:
    for index in range(200):
        recording = sample("train", index)
        covered = np.flatnonzero(spans(recording, index))
        if recording.fault is None:
            assert len(covered) == 0
            continue
        assert {step * 3 // STEPS for step in covered} == {TIMES.index(recording.fault.place)}
        series = render(recording, index)
        channel = CHANNELS.index(recording.fault.colour)
        quiet = render(recording._replace(fault=None), index)
        assert series.shape == quiet.shape == (STEPS, 3) and series.dtype == np.float32
        if recording.fault.kind == "gap":
            assert (series[covered, channel] == 0).all() and (np.delete(series, channel, 1) != 0).all()
        else:
            jumps = np.abs(np.diff(series[:, channel]))
            assert int(jumps.argmax()) in {covered[0] - 1, covered[-1]}


def test_drawing_is_pure_and_quick() -> None:
    recording = sample("train", 5)
    assert np.array_equal(render(recording, 1), render(recording, 1))
    assert not np.array_equal(render(recording, 1), render(recording, 2))
    started = time.perf_counter()
    for seed in range(200):
        render(recording, seed)
    assert (time.perf_counter() - started) / 200 < 2e-3


def test_rows_are_rows() -> None:
    for split in ("train", "validation", "test", "held_out"):
        row = example(split, 3, questions_per_scene=5)
        check_row(row, "here")
        first = row["messages"][0]["content"][0]
        assert first["type"] == "series" and first["series"].shape == (STEPS, len(CHANNELS))
        assert len(row["types"]) == 6 and row["types"].count("describe") == 1
        again = example(split, 3, questions_per_scene=5)
        assert row["description"] == again["description"] and np.array_equal(
            first["series"], again["messages"][0]["content"][0]["series"]
        )
        recording = recording_of(row["description"])
        assert recording.has_held_out == (split == "held_out")
        for index, kind in enumerate(row["types"]):
            said = row["messages"][2 * index + 1]["content"][0]["text"]
            if kind == "describe":
                assert said == language.canonical(recording)
            else:
                assert said == answer(row["messages"][2 * index]["content"][-1]["text"], recording)
    with pytest.raises(ValueError, match="unknown split"):
        example("all", 0)  # type: ignore[arg-type]


def test_tags_are_of_what_is_drawn() -> None:
    batch = training.tagged_batch("validation", 0, seed=0, size=24)
    again = training.tagged_batch("validation", 0, seed=0, size=24)
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    for index in range(24):
        recording = sample("validation", index, 0)
        assert np.array_equal(batch.series[index].numpy(), render(recording, index))
        said = [[TRENDS[t], WAVES[w], LEVELS[v]] for t, w, v in batch.lines[index].tolist()]
        assert said == [list(line[1:]) for line in recording.lines]
        tagged = batch.faults[index].nonzero()
        if recording.fault is None:
            assert len(tagged) == 0
            continue
        assert set(tagged[:, 0].tolist()) == {CHANNELS.index(recording.fault.colour)}
        steps = np.flatnonzero(spans(recording, index)) // training.PATCH
        assert tagged[:, 1].tolist() == sorted(set(steps.tolist()))


def test_pretraining_learns() -> None:
    batch = training.tagged_batch("train", 0, seed=0, size=16)
    model = training.Tagger()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss = training.tag_loss(model(batch.series), batch)
        loss.backward()
        adam.step()
        adam.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
