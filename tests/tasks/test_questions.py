"""The controls do what their names say, on any rows; none of them touches the question or the references."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from midstream.data.rows import media_of, text_of
from midstream.errors import InputError
from midstream.tasks.questions import Question, blind, data_hash, described, identity, questions_of, shuffled


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (2, 2), (number, 0, 0))


def row(numbers: list[int], turns: int = 1) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        parts: list[dict[str, Any]] = [{"type": "text", "text": f"question {turn}?"}]
        if turn == 0:
            parts = [{"type": "image", "image": picture(number)} for number in numbers] + parts
        messages += [{"role": "user", "content": parts}, {"role": "assistant", "content": f"answer {turn}"}]
    return {"messages": messages, "types": [f"type {turn}" for turn in range(turns)], "description": "words."}


def shown(question: Question) -> list[str]:
    return [identity(medium) for medium in media_of({"messages": question.messages})]


def asked(question: Question) -> list[str]:
    return [text_of(message["content"]) for message in question.messages if message["role"] == "user"]


ROWS = st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=6).map(
    lambda rows: [question for numbers in rows for question in questions_of(row(numbers, 2))]
)


@given(questions=ROWS, seed=st.integers(0, 3))
def test_no_picture_keeps_its_place_when_they_are_shuffled(questions: list[Question], seed: int) -> None:
    exchanged = shuffled(questions, seed)
    distinct = {key for question in questions for key in shown(question)}
    if len(distinct) == 1:
        assert exchanged is None
        return
    assert exchanged is not None and exchanged == shuffled(questions, seed)
    for before, after in zip(questions, exchanged, strict=True):
        assert len(shown(before)) == len(shown(after))
        assert not any(a == b for a, b in zip(shown(before), shown(after), strict=True))
        assert asked(before) == asked(after) and before.references == after.references
    assert {key for question in exchanged for key in shown(question)} == distinct


@given(questions=ROWS)
def test_blind_and_described_show_nothing_and_ask_the_same(questions: list[Question]) -> None:
    for question in questions:
        assert shown(blind(question)) == shown(described(question)) == []
        assert asked(blind(question)) == asked(described(question)) == asked(question)
        assert described(question).messages[0] == {"role": "system", "content": "words."}


def test_questions_stand_alone_unless_history_is_asked_for() -> None:
    alone, with_history = questions_of(row([1, 2], 3)), questions_of(row([1, 2], 3), history=True)
    assert [len(question.messages) for question in alone] == [1, 1, 1]
    assert [len(question.messages) for question in with_history] == [1, 3, 5]
    assert all(len(shown(question)) == 2 for question in alone + with_history)
    assert [question.references for question in alone] == [("answer 0",), ("answer 1",), ("answer 2",)]
    assert [question.kind for question in alone] == ["type 0", "type 1", "type 2"]


def test_answers_are_preferred_to_the_assistants_words() -> None:
    assert questions_of(row([1]) | {"answers": [["a", "b"]]})[0].references == ("a", "b")


def test_no_description_no_ceiling() -> None:
    with pytest.raises(InputError, match="no ceiling"):
        described(questions_of({**row([1]), "description": None})[0])


def test_the_data_hash_changes_with_every_part_and_with_nothing_else() -> None:
    same = data_hash(questions_of(row([1, 2])))
    assert same == data_hash(questions_of(row([1, 2])))
    others = [row([2, 1]), row([1]), row([1, 3]), row([1, 2], 2), row([1, 2]) | {"answers": [["x"]]}]
    others += [row([1, 2]) | {"types": ["y"]}, row([1, 2]) | {"description": "z"}]
    assert len({same, *(data_hash(questions_of(other)) for other in others)}) == len(others) + 1
