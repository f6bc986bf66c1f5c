"""Scores: known values of the official evaluation, and properties that any score has."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.tasks.metrics import METRICS, exact_match, token_f1, vqa_accuracy, vqa_normalise

WORDS = st.text(alphabet="abc 12,.'", max_size=12)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("Two dogs.", "2 dogs"),
        ("the cat", "cat"),
        ("A man, a plan!", "man plan"),
        ("dont know", "don't know"),
        ("2,000", "2000"),
        ("3.5", "3.5"),
        ("yes/no", "yes no"),
        ("red-ish , blue", "red ish blue"),
        ("none", "0"),
        ("Ten\n", "10"),
        ("its", "its"),
    ],
)
def test_vqa_normalisation(answer: str, normal: str) -> None:
    assert vqa_normalise(answer) == normal


@pytest.mark.parametrize(("matches", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_is_the_mean_over_leaving_one_annotator_out(matches: int, score: float) -> None:
    # With m of 10 agreeing: m times min((m-1)/3, 1) and 10-m times min(m/3, 1), which comes to 0.3 m, up to 1.
    references = ["yes"] * matches + ["other"] * (10 - matches)
    assert vqa_accuracy("Yes.", references) == pytest.approx(score)


def test_f1_counts_shared_words() -> None:
    assert token_f1("a red square", ["the red square"]) == pytest.approx(2 / 3)
    assert token_f1("", ["red"]) == 0.0
    assert token_f1("", [""]) == 1.0
    assert token_f1("red", ["blue", "Red!"]) == 1.0


def test_exact_match_forgives_case_space_and_a_closing_period_only() -> None:
    assert exact_match("  Top-Left. ", ["top-left"]) == 1.0
    assert exact_match("top left", ["top-left"]) == 0.0
    assert exact_match("red", ["blue", "red"]) == 1.0


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data())
def test_scores_are_between_0_and_1_and_do_not_depend_on_the_order_of_references(name: str, data: Any) -> None:
    prediction, references = data.draw(WORDS), data.draw(st.lists(WORDS, min_size=1, max_size=10))
    score = METRICS[name](prediction, references)
    assert 0.0 <= score <= 1.0
    assert METRICS[name](prediction, references[::-1]) == pytest.approx(score)
    assert METRICS[name](prediction, []) == 0.0


@pytest.mark.parametrize("name", METRICS)
def test_the_control_a_wrong_answer_scores_0_and_the_right_one_1(name: str) -> None:
    assert METRICS[name]("purple", ["red"] * 10) == 0.0
    assert METRICS[name]("red", ["red"] * 10) == 1.0
