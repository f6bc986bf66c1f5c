"""Whatever JSON a file holds, it is a row or one sentence about what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data.columns import Columns, row_of
from midstream.data.formats.llava import llava_row
from midstream.data.parts import read_row
from midstream.data.rows import check_row, media_of
from midstream.errors import InputError
from midstream.tasks.questions import questions_of

WORDS = ["type", "text", "image", "audio", "image_url", "url", "input_audio", "data", "path", "role", "content", "from"]
KEYS = st.sampled_from(
    [*WORDS, "value", "messages", "conversations", "images", "answers", "types", "answer", "question"]
)
TEXTS = st.sampled_from(
    [*WORDS, "", " ", "\0", "user", "assistant", "human", "gpt", "<image>", "data:,x", "file:///a", "@"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | TEXTS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
PARTS = st.lists(
    st.dictionaries(KEYS, JSON, max_size=3) | st.fixed_dictionaries({"type": TEXTS, "text": JSON}), max_size=3
)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": PARTS | TEXTS})
ROW = st.fixed_dictionaries(
    {"messages": st.lists(TURN, max_size=3)}, optional={"images": JSON, "answers": JSON, "types": JSON}
)
TALK = st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt"]), "value": TEXTS})
LLAVA = st.fixed_dictionaries({"conversations": st.lists(TALK, max_size=3)}, optional={"image": JSON, "audio": JSON})
ENTRY = JSON | ROW | LLAVA


def whole(row: Any) -> None:
    """A row that is taken can be used: its questions asked, its media listed, its text written."""
    check_row(row, "again")
    questions_of(row), questions_of(row, history=True), media_of(row)


@settings(deadline=None, max_examples=300)
@given(ENTRY)
def test_anything_is_a_row_or_is_refused_in_one_sentence(entry: Any) -> None:
    readers = [
        lambda entry: read_row(entry, "rows.jsonl:1", Path("folder")),
        lambda entry: llava_row(entry, "rows.json[0]", Path("folder")),
        lambda entry: row_of(entry, Columns(), {"image": "image"}, "saved[0]") if isinstance(entry, dict) else None,
    ]
    for read in readers:
        try:
            row = read(json.loads(json.dumps(entry)))
        except InputError as error:
            assert "\n" not in str(error) and str(error).startswith(("rows.jsonl:1", "rows.json[0]", "saved[0]"))
        else:
            if row is not None:
                whole(row)


def test_the_control_there_are_rows_among_them() -> None:
    turns = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "url"}]
    whole(llava_row({"image": "a", "conversations": turns}, "x"))
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}
    whole(read_row({"images": ["a"], "messages": [question, {"role": "assistant", "content": "url"}]}, "x"))
    whole(row_of({"image": b"a", "answer": 3}, Columns(), {"image": "image"}, "x"))
