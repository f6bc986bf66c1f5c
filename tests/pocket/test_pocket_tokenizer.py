"""The tokenizer, the chat template and the corpus that the language model reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from midstream import pocket
from midstream.pocket.corpus import STAGES, Corpus, opening
from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, sample_scene

PROSE = ["Return the number of items in a container.", "If the two objects compare equal then they are, don't worry."]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(pocket.lm_path())


def test_scene_words_are_single_tokens(tokenizer: Any) -> None:
    for word in (*SHAPES, *COLOURS, *SIZES, *PLACES, "yes", "no", "zero", "four", "colour"):
        assert len(tokenizer.encode(f" {word}")) == 1, word
    assert tokenizer.tokenize("Question: what is at top-left?\nAnswer:")[-3:] == ["?", "Ċ", "Answer:"]


def test_any_text_survives_the_round_trip(tokenizer: Any) -> None:
    for text in ("Größe 42 €, \t x_y\n\n  ok!", " red\n", "Question: wieso?\nAnswer: darum\n", *PROSE):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_template_renders_the_contract(tokenizer: Any) -> None:
    def say(messages: list[dict[str, Any]], prompt: bool = False) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))

    image, text = {"type": "image", "image": None}, {"type": "text", "text": "what colour is the ring?"}
    row = [
        {"role": "user", "content": [image, text]},
        {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
    ]
    assert say(row) == "<image>\nQuestion: what colour is the ring?\nAnswer: red\n"
    assert say(row[:1], prompt=True) == "<image>\nQuestion: what colour is the ring?\nAnswer:"
    plain = [{"role": "user", "content": "how?"}, {"role": "assistant", "content": "so"}]
    assert say(row + plain, prompt=True).endswith("Answer: red\nQuestion: how?\nAnswer: so\nAnswer:")
    inline = {"role": "user", "content": [{"type": "text", "text": "is "}, image, {"type": "text", "text": " red?"}]}
    assert say([inline]) == "Question: is <image> red?\n"
    two = {"role": "user", "content": [image, {"type": "audio"}, text]}
    assert say([two]).startswith("<image>\n<audio>\nQuestion:")
    assert say([{"role": "system", "content": "a red ring."}, *plain[:1]]) == "a red ring.\nQuestion: how?\n"


def test_template_marks_what_the_assistant_says(tokenizer: Any) -> None:
    row = pocket.described(pocket.example("test", 0))
    out = tokenizer.apply_chat_template(
        row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = np.array(out["input_ids"]).ravel(), np.array(out["assistant_masks"]).ravel().astype(bool)
    answers = "".join(f" {m['content'][0]['text']}\n" for m in row["messages"] if m["role"] == "assistant")
    assert tokenizer.decode(ids[mask].tolist()) == answers


def test_batches_are_pure_in_seed_and_index(tokenizer: Any) -> None:
    one, other = Corpus(tokenizer, PROSE, 177, seed=0), Corpus(tokenizer, PROSE, 177, seed=1)
    one.batch(7, 2)  # what was read before must not matter
    for a, b in zip(one.batch(3, 4), Corpus(tokenizer, PROSE, 177, seed=0).batch(3, 4), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.batch(3, 4)[0], one.batch(4, 4)[0])
    assert not np.array_equal(one.batch(3, 4)[0], other.batch(3, 4)[0])


def test_word_by_word_encoding_equals_encoding_the_whole(tokenizer: Any) -> None:
    corpus = Corpus(tokenizer, PROSE, 177)
    for ids in corpus.batch(STAGES[-1].first, 6)[0]:
        kept = [int(token) for token in ids if token not in (tokenizer.pad_token_id, tokenizer.eos_token_id)]
        assert tokenizer.encode(tokenizer.decode(kept)) == kept


def test_weights_rest_on_what_the_description_determines(tokenizer: Any) -> None:
    import random

    corpus = Corpus(tokenizer, PROSE, 177)
    ids, weights = corpus.batch(STAGES[-1].first, 12)
    assert (weights[ids == tokenizer.pad_token_id] == 0).all()
    assert (ids == tokenizer.pad_token_id).mean() < 0.06
    first, *rest = opening(sample_scene("train", 4), random.Random(0), STAGES[0])
    assert first.attribute < 0.1
    assert rest and all(chunk.attribute == 1.0 for chunk in rest)
