"""The pocket world of motion: clips, what is said of them and what is drawn are the same thing told three ways."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
from motion_reading import answer, read

from midstream.data.rows import check_row
from midstream.pocket import language as pictures
from midstream.pocket import world as picture_world
from midstream.pocket.motion import language
from midstream.pocket.motion.data import example, one_frame
from midstream.pocket.motion.paths import FRAMES, plan
from midstream.pocket.motion.render import draw, frozen, render
from midstream.pocket.motion.world import DIRECTIONS, HELD_OUT, Clip, Mover, make_clip, sample
from midstream.pocket.render import IMAGE_SIZE, RGB

Asked = list[tuple[Clip, language.Question]]
CLIPS = [sample("validation", index) for index in range(400)]
STEP = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


@pytest.fixture(scope="module")
def asked() -> Asked:
    return [
        (clip, question)
        for index in range(1000)
        for clip in (sample("validation", index, 1),)
        for question in language.ask_many(clip, random.Random(index), 6)
    ]


# --- clips


def test_a_clip_is_a_pure_function_of_its_arguments_and_stays_in_its_split() -> None:
    for bucket in ("train", "validation", "test"):
        drawn = [sample(bucket, index, 3) for index in range(60)]
        assert drawn == [sample(bucket, index, 3) for index in range(60)]
        assert {clip.bucket for clip in drawn} == {bucket}
    assert [sample("train", index, 0) for index in range(9)] != [sample("train", index, 1) for index in range(9)]


def test_held_out_pairs_are_kept_out_but_their_words_are_not() -> None:
    def seen(held_out: bool | None) -> set[tuple[str, str]]:
        clips = [sample("train", index, held_out=held_out) for index in range(400)]
        return {(mover.shape, mover.direction) for clip in clips for mover in clip.movers}

    without = seen(held_out=False)
    assert not without & HELD_OUT
    for shape, direction in HELD_OUT:
        assert {d for s, d in without if s == shape} >= {*DIRECTIONS, "still"} - {direction}
        assert direction in {d for _, d in without}
    assert seen(held_out=None) >= HELD_OUT  # control: without the filter
    assert all(sample("test", index, held_out=True).has_held_out for index in range(60))


def test_impossible_clips_are_refused() -> None:
    red, blue = Mover("circle", "red", "left", "fast"), Mover("circle", "blue", "left", "slow")
    still = Mover("ring", "red", "still", "")
    assert make_clip([still, red], "meet", (0, 1)) == Clip((red, still), "meet", (0, 1))  # the still one last
    for movers, event, pair, complaint in (
        ([], "", (), "1 to 3 movers"),
        ([red, red], "", (), "same shape and colour"),
        ([red._replace(direction="back")], "", (), "unknown word 'back'"),
        ([still], "", (), "nothing moves"),
        ([red, blue], "meet", (0, 1), "go the same way"),
        ([red, still], "meet", (), "comes with a pair"),
        ([red, still], "", (0, 1), "comes with a pair"),
    ):
        with pytest.raises(ValueError, match=complaint):
            make_clip(movers, event, pair)


# --- words


def test_every_answer_is_what_any_description_says(asked: Asked) -> None:
    rng = random.Random(0)
    for clip, question in asked:
        for description in (language.describe(clip, rng), language.canonical(clip)):
            assert answer(question.text, description) == question.answer, (description, question)
    # control: the description of another clip often says otherwise, or nothing
    wrong = 0
    for (clip, _), (_, question) in zip(asked, asked[40:], strict=False):
        try:
            wrong += answer(question.text, language.canonical(clip)) != question.answer
        except (ValueError, KeyError):
            wrong += 1
    assert wrong > 0.5 * len(asked)


def test_all_grammars_say_the_same_and_keep_attributes_behind_a_space() -> None:
    for index, clip in enumerate(CLIPS[:150]):
        texts = {language.describe(clip, random.Random(seed)) for seed in range(index, index + 12)}
        assert len(texts) > 2
        told = [read(text) for text in (*texts, language.canonical(clip))]
        assert all(facts == told[0] for facts in told)
        assert not any(text.split()[0] in language.ATTRIBUTES for text in texts)
    assert len({language.describe(CLIPS[3], random.Random(seed), plain=True) for seed in range(60)}) < len(
        {language.describe(CLIPS[3], random.Random(seed)) for seed in range(60)}
    )


def test_only_known_words_are_used(asked: Asked) -> None:
    old = set()
    for index in range(400):
        scene, rng = picture_world.sample_scene("train", index), random.Random(index)
        texts = [pictures.describe(scene, rng), pictures.ask_describe(scene, rng).text]
        for question in pictures.ask_many(scene, rng, 5):
            texts += [question.text, question.answer]
        old |= {word.strip(".,?") for text in texts for word in text.split()}
    new = set()
    for clip, question in asked:
        for text in (question.text, question.answer, language.describe(clip, random.Random(1))):
            new |= {word.strip(".,?") for word in text.split()}
    assert new - old - set(language.WORDS) <= {"does", "do", "or", "one", "that", "move"}  # plain words of prose
    assert set(language.WORDS) - new == {"video"}  # only the request to describe says that
    assert any("video" in language.ask_describe(CLIPS[0], random.Random(seed)).text for seed in range(9))


def test_the_question_alone_does_not_give_the_answer(asked: Asked) -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    by_form: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in asked:
        by_kind[question.kind][question.answer] += 1
        form = " ".join(w for w in question.text.split() if w not in RGB and w not in picture_world.SHAPES)
        by_form[form][question.answer] += 1
    assert set(by_kind) == set(language.QUESTION_TYPES)
    limits = {"direction": 0.29, "order": 0.3, "collision": 0.36, "colour": 0.2, "shape": 0.25, "which": 0.1}
    for kind, counts in by_kind.items():
        assert counts.most_common(1)[0][1] / counts.total() < limits.get(kind, 0.56), (kind, counts)
    for form, counts in by_form.items():
        if counts.total() > 150:
            assert counts.most_common(1)[0][1] / counts.total() < 0.64, (form, counts)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of question 'place'"):
        language.ask(CLIPS[0], random.Random(0), "place")


# --- the screen


def _travel(clip: Clip, seed: int) -> np.ndarray:
    """Steps between frames, around the torus: (N, 7, 2)."""
    steps = np.diff(plan(clip, seed).places_NF2, axis=1)
    return (steps + IMAGE_SIZE / 2) % IMAGE_SIZE - IMAGE_SIZE / 2


def test_what_moves_goes_where_the_words_say_as_fast_as_they_say_and_in_their_order() -> None:
    for seed, clip in enumerate(CLIPS):
        travel = _travel(clip, seed)
        starts = []
        for mover, steps in zip(clip.movers, travel, strict=True):
            if not mover.moves:
                assert np.abs(steps).max() < 1e-9
                continue
            along, across = steps @ STEP[mover.direction], steps @ STEP[mover.direction][::-1]
            assert (along > -1e-9).all() and np.abs(across).max() < 1e-9
            assert 1.8 < along.max() < 2.7 if mover.speed == "slow" else 4.3 < along.max() < 5.5
            starts.append(int(np.argmax(along > 1e-9)))
        assert starts == sorted(set(starts))
    reversed_order = make_clip(
        [Mover("ring", "red", "up", "slow"), Mover("star", "red", "left", "slow")], "", ()
    )  # control: another order of the same words starts otherwise
    first = [np.argmax(np.abs(steps).sum(1) > 1e-9) for steps in _travel(reversed_order, 0)]
    other = [np.argmax(np.abs(s).sum(1) > 1e-9) for s in _travel(make_clip(reversed_order.movers[::-1]), 0)]
    assert first[0] < first[1] and other[0] < other[1]


def _distances(clip: Clip, seed: int, pair: tuple[int, int]) -> np.ndarray:
    paths = plan(clip, seed)
    gap = np.abs(paths.places_NF2[pair[0]] - paths.places_NF2[pair[1]])
    gap = np.minimum(gap, IMAGE_SIZE - gap)
    return np.hypot(gap[:, 0], gap[:, 1]) / (paths.radii[pair[0]] + paths.radii[pair[1]])


def test_pairs_touch_at_the_end_when_they_meet_at_the_beginning_when_they_part_and_never_otherwise() -> None:
    counted: Counter[str] = Counter()
    for seed, clip in enumerate(CLIPS):
        for pair in combinations(range(len(clip.movers)), 2):
            distance = _distances(clip, seed, pair)
            doing = clip.event if pair == clip.pair else ""
            counted[doing] += 1
            assert (distance[-1] < 0.95) == (doing == "meet")
            assert (distance[0] < 0.95) == (doing == "part")
            if not doing:
                assert distance.min() > 1.2
    assert min(counted.values()) > 60, counted


def test_a_still_frame_tells_nothing_of_direction() -> None:
    """Places are uniform on the torus whatever the direction; without the torus they would not be."""
    places: dict[str, list[float]] = defaultdict(list)
    for index in range(1200):
        clip = sample("train", index, 2)
        middle = plan(clip, index).places_NF2[:, FRAMES // 2]
        for mover, (_, column) in zip(clip.movers, middle, strict=True):
            places[mover.direction].append(float(column))
    for direction in ("left", "right"):
        shares = np.histogram(places[direction], bins=4, range=(0, IMAGE_SIZE))[0] / len(places[direction])
        assert np.abs(shares - 0.25).max() < 0.06
    bounded = [place - 15 for place in places["left"] if place > 30]  # control: a picture with edges
    assert np.abs(np.histogram(bounded, bins=4, range=(0, IMAGE_SIZE))[0] / len(bounded) - 0.25).max() > 0.06


def test_frames_show_each_mover_in_its_colour_where_it_is() -> None:
    for seed, clip in enumerate(CLIPS[:60]):
        drawn = draw(clip, seed, cover=True)
        assert drawn.frames_FHW3.shape == (FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3) and drawn.frames_FHW3.dtype == np.uint8
        assert drawn.cover_NFHW is not None
        places = plan(clip, seed).places_NF2
        for number, mover in enumerate(clip.movers):
            for frame in range(FRAMES):
                solid = drawn.cover_NFHW[number, frame] > 0.99
                painted = np.median(drawn.frames_FHW3[frame][solid], axis=0)
                assert np.abs(painted - RGB[mover.colour]).max() < 30
                rows, columns = np.nonzero(drawn.cover_NFHW[number, frame] > 0.5)
                for cells, centre in ((rows, places[number, frame, 0]), (columns, places[number, frame, 1])):
                    off = (cells + 0.5 - centre + IMAGE_SIZE / 2) % IMAGE_SIZE - IMAGE_SIZE / 2
                    assert abs((off.min() + off.max()) / 2) < 1.6
    assert np.array_equal(render(CLIPS[0], 5), render(CLIPS[0], 5))
    assert not np.array_equal(render(CLIPS[0], 5), render(CLIPS[0], 6))


# --- rows


def test_rows_are_rows_and_the_one_frame_control_stops_the_clip_only() -> None:
    for split in ("train", "validation", "test", "held_out"):
        row = example(split, 3)
        check_row(row, split)
        assert len(row["types"]) * 2 == len(row["messages"])
        again = example(split, 3)
        video = row["messages"][0]["content"][0]["video"]
        assert np.array_equal(video, again["messages"][0]["content"][0]["video"])
        stopped = one_frame(row)
        still = stopped["messages"][0]["content"][0]["video"]
        assert still.shape == video.shape and (still == video[4]).all() and not (video == video[4]).all()
        assert stopped["messages"][1:] == row["messages"][1:]
        assert stopped["messages"][0]["content"][1] == row["messages"][0]["content"][1]
    assert np.array_equal(frozen(video, 0)[-1], video[0])
    with pytest.raises(ValueError, match="unknown split"):
        example("dev", 0)  # type: ignore[arg-type]
