"""Scores: known values, and properties that any score has. What published programs compute is another file's matter."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.recipe.tree import Evaluation
from midstream.tasks.metrics import (
    CAPTION_METRICS,
    METRICS,
    bleu,
    bleu_matches,
    caption_tokens,
    cider_d,
    exact_match,
    reported,
    rouge_l,
    token_f1,
    vqa_accuracy,
    vqa_normalise,
)

ANSWERS = st.text(alphabet="abc 12,.'", max_size=12)
CAPTIONS = st.lists(st.sampled_from("a red dog and the cat sit on mat ,".split()), max_size=9).map(" ".join)
SAID = ["a red dog sits on a mat", "two cats sleep", "a green bus in the street", "a man with a kite on the beach"]
TOLD = [
    ["a red dog sits on the mat", "the dog is on a mat"],
    ["two cats are asleep", "a pair of cats sleep"],
    ["a green bus in the street", "a bus drives down a street"],
    ["a man flies a kite on the beach", "man with kite"],
]


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
        ("im", "im"),
    ],
)
def test_vqa_normalisation(answer: str, normal: str) -> None:
    assert vqa_normalise(answer) == normal


@pytest.mark.parametrize(("matches", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)])
def test_vqa_accuracy_is_the_mean_over_leaving_one_annotator_out(matches: int, score: float) -> None:
    # With m of 10 agreeing: m times min((m-1)/3, 1) and 10-m times min(m/3, 1), which comes to 0.3 m, up to 1.
    references = ["yes"] * matches + ["other"] * (9 - matches) + ["else"]
    assert vqa_accuracy("Yes.", references) == pytest.approx(score)


def test_vqa_compares_as_written_where_all_annotators_agree() -> None:
    assert vqa_accuracy("yes", ["yes"] * 10) == 1.0 and vqa_accuracy("Yes", ["yes"] * 10) == 0.0
    assert vqa_accuracy("Yes", ["yes"] * 9 + ["no"]) == 1.0


def test_f1_counts_shared_words() -> None:
    assert token_f1("a red square", ["the red square"]) == pytest.approx(2 / 3)
    assert token_f1("", ["red"]) == 0.0
    assert token_f1("", [""]) == 1.0
    assert token_f1("red", ["blue", "Red!"]) == 1.0


def test_exact_match_forgives_case_space_and_a_closing_period_only() -> None:
    assert exact_match("  Top-Left. ", ["top-left"]) == 1.0
    assert exact_match("top left", ["top-left"]) == 0.0
    assert exact_match("red", ["blue", "red"]) == 1.0


def test_bleu_by_hand() -> None:
    # "the" may count twice (as in the first reference), so 2 of 3 unigrams and 0 of 2 bigrams; no length penalty.
    found = bleu_matches("the the the".split(), ["the cat the".split(), "a the".split()])
    assert (found.correct, found.length, found.wanted) == ((2, 0, 0, 0), 3, 3)
    assert bleu([found], 1) == pytest.approx(2 / 3) and bleu([found], 2) == pytest.approx(0, abs=1e-6)
    # Lengths 2 and 4 are as near to 3: the shorter one counts.
    assert bleu_matches("a b c".split(), ["a b c d".split(), "a b".split()]).wanted == 2


def test_rouge_by_hand() -> None:
    # Common subsequence "a dog sat": precision 3/4, recall 3/5.
    precision, recall = 3 / 4, 3 / 5
    wanted = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l("a dog sat down".split(), ["a big dog has sat".split()]) == pytest.approx(wanted)


def test_cider_by_hand() -> None:
    # Of two one-word captions each word is rare; the perfect one scores 10 for n = 1 and nothing for longer n-grams.
    assert cider_d([["dog"], ["cat"]], [[["dog"]], [["bird"]]]) == pytest.approx([2.5, 0.0])
    assert cider_d([["dog"]], [[["dog"]]]) == [0.0]  # alone, no word is rarer than another


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=25)
@given(data=st.data())
def test_scores_lie_within_their_range_and_do_not_depend_on_the_order_of_references(name: str, data: Any) -> None:
    texts = CAPTIONS if name in CAPTION_METRICS else ANSWERS
    said = data.draw(st.lists(texts, min_size=1, max_size=4))
    told = [data.draw(st.lists(texts, min_size=1, max_size=5)) for _ in said]
    score = METRICS[name].score(said, told)
    assert -1e-12 <= score <= METRICS[name].best + 1e-9
    turned = [[*group[1:], group[0]] for group in told]
    assert METRICS[name].score(said, turned) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_neither_the_order_of_captions_nor_of_references_matters(name: str) -> None:
    order = random.Random(0).sample(range(len(SAID)), len(SAID))
    mixed = METRICS[name].score([SAID[i] for i in order], [TOLD[i][::-1] for i in order])
    assert mixed == pytest.approx(METRICS[name].score(SAID, TOLD), abs=1e-12)
    # The control: given to the wrong captions, they do.
    if name in CAPTION_METRICS:
        assert METRICS[name].score(SAID, TOLD[1:] + TOLD[:1]) < METRICS[name].score(SAID, TOLD) / 2


@pytest.mark.parametrize("name", CAPTION_METRICS)
def test_a_word_less_or_a_wrong_one_scores_lower(name: str) -> None:
    perfect = [group[0] for group in TOLD]
    best = METRICS[name].score(perfect, TOLD)
    for number, caption in enumerate(perfect):
        words = caption.split()
        for place in range(len(words)):
            for changed in (words[:place] + words[place + 1 :], [*words[:place], "zebra", *words[place + 1 :]]):
                worse = [*perfect[:number], " ".join(changed), *perfect[number + 1 :]]
                assert METRICS[name].score(worse, TOLD) < best


@pytest.mark.parametrize("name", CAPTION_METRICS)
def test_repeating_a_word_does_not_pay(name: str) -> None:
    stuffed = [f"{group[0]} {group[0].split()[-1]} {group[0].split()[-1]}" for group in TOLD]
    assert METRICS[name].score(stuffed, TOLD) < METRICS[name].score([group[0] for group in TOLD], TOLD)


@pytest.mark.parametrize("name", METRICS)
def test_the_control_a_wrong_answer_scores_0_and_the_right_one_the_best(name: str) -> None:
    right = ["four red dogs run", "two blue cats sit down"]
    metric = METRICS[name]
    assert metric.score(["purple purple purple purple"] * 2, [[text] * 10 for text in right]) == pytest.approx(
        0, abs=1e-3
    )
    assert metric.score(right, [[text] * 10 for text in right]) == pytest.approx(metric.best, abs=1e-6)


def test_parts_are_scored_in_the_light_of_all() -> None:
    metric = METRICS["cider"]
    added = metric.contributions(SAID, TOLD)
    assert metric.total(added) == metric.score(SAID, TOLD) and metric.total(added[:1]) > 0
    assert metric.score(SAID[:1], TOLD[:1]) == 0.0  # the control: alone there is no light
    # BLEU of a part is that of its captions: sums of counts, not a mean of scores.
    metric = METRICS["bleu4"]
    added = metric.contributions(SAID, TOLD)
    assert metric.total(added[:2]) == metric.score(SAID[:2], TOLD[:2])
    assert metric.total(added) != pytest.approx(sum(metric.total([one]) for one in added) / len(added), abs=1e-3)


def test_a_captions_scores_are_told_together_an_answers_alone() -> None:
    told = reported("cider", SAID, TOLD)
    assert tuple(told) == (*CAPTION_METRICS, "length") and told == reported("bleu1", SAID, TOLD)
    assert told["length"] == sum(len(text.split()) for text in SAID) / len(SAID)
    assert reported("exact", ["Red", "blue"], [["red"], ["green"]]) == {"exact": 0.5}


def test_recipes_know_every_metric_and_no_other() -> None:
    for name in METRICS:
        assert Evaluation(metric=name).metric == name  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bleu1"):
        Evaluation(metric="bleu5")  # type: ignore[arg-type]


def test_what_cannot_be_scored_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="nothing to score"):
        METRICS["exact"].score([], [])
    with pytest.raises(InputError, match="2 answers need as many lists of references, not 1"):
        METRICS["exact"].score(["a", "b"], [["a"]])
    with pytest.raises(InputError, match="caption 1 has no reference"):
        METRICS["cider"].score(["a", "b"], [["a"], []])
    assert METRICS["vqa"].score(["a"], [[]]) == METRICS["f1"].score(["a"], [[]]) == 0.0


def test_captions_are_cut_as_the_treebank_does() -> None:
    text = "The man's dog (a T-shirt on it) can't \"sit\"; it's 3,000 m away, isn't it?"
    wanted = "the man 's dog -lrb- a t-shirt on it -rrb- ca n't sit it 's 3,000 m away is n't it"
    assert " ".join(caption_tokens(text)) == wanted
    assert caption_tokens("") == caption_tokens(" .. !\n") == []
