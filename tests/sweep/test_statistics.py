"""Intervals on cases whose answer is known."""

import math
import random

import numpy as np
import pytest
from tables import answers, row

from midstream.report.statistics import bootstrap, difference, front, interval_of, wilson


def normal(share: float, n: int) -> float:
    """Half the width of the interval of n independent answers, by the normal approximation."""
    return 1.96 * math.sqrt(share * (1 - share) / n)


def test_independent_questions_have_the_interval_of_a_share() -> None:
    scores = [1.0] * 700 + [0.0] * 300
    found = bootstrap([scores], range(1000), draws=4000)
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - normal(0.7, 1000), abs=0.003)
    assert found.high == pytest.approx(0.7 + normal(0.7, 1000), abs=0.003)
    assert found == bootstrap([scores], range(1000), draws=4000)  # the draws are fixed


def test_questions_of_one_scene_count_as_one() -> None:
    scores = [score for score in answers(0.5, 200, 1) for _ in range(5)]
    scenes = [scene for scene in range(200) for _ in range(5)]
    by_scene, by_question = bootstrap([scores], scenes), bootstrap([scores], range(1000))
    width, naive = by_scene.high - by_scene.low, by_question.high - by_question.low
    assert width == pytest.approx(2 * normal(0.5, 200), rel=0.08)
    assert width / naive == pytest.approx(math.sqrt(5), rel=0.08)  # what ignoring the scenes would pretend


def coverage(ignore_scenes: bool) -> float:
    """How often the interval holds the truth: 60 scenes with 4 questions that mostly stand and fall together."""
    rng, hits = random.Random(0), 0
    for _ in range(300):
        chances = [rng.choice((0.1, 0.9)) for _ in range(60)]
        scores = [float(rng.random() < chance) for chance in chances for _ in range(4)]
        scenes = range(240) if ignore_scenes else [n // 4 for n in range(240)]
        found = bootstrap([scores], scenes, draws=400)
        hits += found.low <= 0.5 <= found.high
    return hits / 300


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    assert 0.91 <= coverage(ignore_scenes=False) <= 0.985


def test_the_control_ignoring_scenes_holds_it_too_rarely() -> None:
    assert coverage(ignore_scenes=True) < 0.85


def test_seeds_are_averaged_and_scenes_are_drawn() -> None:
    scores = np.array([answers(0.6, 400, seed) for seed in range(3)])
    found = bootstrap(scores.tolist(), range(400))
    assert found.value == pytest.approx(scores.mean())
    assert found.high - found.low == pytest.approx(2 * normal(0.6, 1200), rel=0.12)  # here seeds err independently
    same = bootstrap([scores[0].tolist()] * 3, range(400))
    assert same.high - same.low == pytest.approx(2 * normal(0.6, 400), rel=0.12)  # and here together: nothing is won


def test_a_difference_is_taken_question_by_question() -> None:
    hard = answers(0.5, 500, 3)
    better = [max(score, float(number % 25 == 0)) for number, score in enumerate(hard)]
    found = difference([better], [hard], range(500))
    assert 0 < found.low < found.value == pytest.approx(sum(better) / 500 - sum(hard) / 500)
    assert found.high - found.low < 0.03 < 2 * normal(0.5, 500)  # unpaired, it would be lost in the noise
    nothing = difference([hard], [hard], range(500))
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_without_single_scores_wilson() -> None:
    found = wilson(0.8, 10)  # the textbook's 8 of 10: 0.4902 to 0.9433
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    rows = [row(value=0.8, scores=None, seed=seed) | {"n": 10} for seed in range(2)]
    assert interval_of(rows) == found
    other = row(scores=[1.0] * 8 + [0.0] * 2, scenes=list(range(10)), question_set="another")
    assert interval_of([rows[0], other]) == found  # different questions cannot be paired


def test_the_front_is_what_nothing_beats_in_both() -> None:
    assert front([3, 1, 2, 4], [0.9, 0.5, 0.4, 0.8]) == [1, 0]
    assert front([1, 1, 2], [0.5, 0.6, 0.6]) == [1]
