"""The LM's second course: new words are taken up, and nothing that was known moves."""

import random
from importlib import import_module
from typing import Any

import pytest
import torch

from midstream.pocket import language
from midstream.pocket.corpus import tokenizer_texts
from midstream.pocket.lm_evaluation import described_scenes
from midstream.pocket.lm_shape import build_model
from midstream.pocket.tokenizer import train_tokenizer
from midstream.pocket.widening import WORLDS, WideCorpus, new_words, widened_model, widened_tokenizer
from midstream.pocket.world import sample_scene

PROSE = ["A paragraph of ordinary prose, about nothing in particular."]


@pytest.fixture(scope="module")
def first() -> Any:
    """A tokenizer of the first course."""
    return train_tokenizer(tokenizer_texts(PROSE, scenes=300), vocab_size=560)


@pytest.fixture(scope="module")
def both(first: Any) -> tuple[Any, Any, dict[int, list[int]]]:
    return first, *widened_tokenizer(first, new_words())


def _scene_text(index: int) -> str:
    rng = random.Random(index)
    scene = sample_scene("train", index)
    asked = [*language.ask_many(scene, rng, 5), language.ask_describe(scene, rng)]
    turns = "".join(f"Question: {question.text}\nAnswer: {question.answer}\n" for question in asked)
    return f"{language.describe(scene, rng)}\n{turns}"


def test_every_new_word_is_one_token_and_old_text_is_cut_as_before(both: Any) -> None:
    before, after, pieces = both
    assert all(len(after.encode(f" {word}")) == 1 for word in new_words())
    assert any(len(before.encode(f" {word}")) > 1 for word in new_words())  # the control: it was not so before
    for index in range(50):
        assert after.encode(_scene_text(index)) == before.encode(_scene_text(index))
    vocabulary = before.get_vocab()
    assert vocabulary.items() <= after.get_vocab().items()
    assert sorted(pieces) == list(range(len(before), len(after)))
    assert all(after.decode(after.encode(f"a {word} b")) == f"a {word} b" for word in new_words())


@torch.no_grad()
def test_a_widened_model_says_of_old_text_what_it_said(both: Any) -> None:
    before, after, pieces = both
    model = build_model(before).eval()
    ids = torch.tensor([before.encode(_scene_text(3))])
    told = model(input_ids=ids).logits
    old = model.get_input_embeddings().weight.clone()
    widened = widened_model(model, pieces)
    assert torch.equal(widened(input_ids=ids).logits[..., : len(before)], told)
    table = widened.get_input_embeddings().weight
    assert torch.equal(table[: len(before)], old) and len(table) == len(after)
    number, parts = next(iter(pieces.items()))
    torch.testing.assert_close(table[number], old[parts].mean(0))


def test_rows_hold_every_world_and_answers_carry_the_loss(both: Any) -> None:
    _, after, _ = both
    corpus = WideCorpus(after, PROSE, 177, steps=10)
    ids, weights = corpus.batch(0, 96)
    texts = [after.decode(row[row != after.pad_token_id]) for row in ids]
    for sign in ("moves", "rings", "line", "you hear", "object", "it is "):
        assert any(sign in text for text in texts), sign
    again, _ = corpus.batch(0, 96)
    assert (ids == again).all() and not (ids == corpus.batch(1, 96)[0]).all()
    answer = after.encode("Answer:")[0]
    after_answer = [(b, t + 1) for b, t in zip(*(ids[:, :-1] == answer).nonzero(), strict=True)]
    assert min(weights[place] for place in after_answer) > max(weights[b, t - 1] for b, t in after_answer)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.package)
def test_a_world_is_told_in_words_the_tokenizer_knows(world: Any, both: Any) -> None:
    _, after, _ = both
    rows = described_scenes("validation", 20, 5, world=world.package)
    said = " ".join(row.description + " " + " ".join(f"{q.text} {q.answer}" for q in row.questions) for row in rows)
    words = {word.strip(".,?:") for word in said.split()}
    listed = {*import_module(f"midstream.pocket.{world.package}.language").WORDS}
    assert len(words & listed) > len(listed) / 2
    assert all(len(after.encode(row.description)) < 120 for row in rows)
