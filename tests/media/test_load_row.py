"""Table rows from mappings, JSON and text; and the encoder that turns their columns into tokens."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from midstream import MidstreamForCausalLM, MidstreamProcessor, Modality, deep_insert
from midstream.errors import InputError
from midstream.media import load_row
from midstream.own import make_own
from midstream.table_encoder import TableEncoder, column_statistics
from midstream.testing import tiny_lm

ROWS = [
    {"age": 30, "sex": "f", "dose": 1.5},
    {"age": 50, "sex": "m", "dose": 2.5},
    {"age": None, "sex": "m", "dose": 2.0},
]


@pytest.mark.parametrize(
    "source",
    [
        {"age": 63, "sex": "f", "dose": None},
        '{"age": 63.0, "sex": "f"}',
        b'{"age": "63", "sex": " f "}',
        "age=63, sex=f, dose=",
        " age = 63 ,sex=f,dose=NaN",
        {"age": np.float32(63), "sex": "f", "dose": float("nan")},
        {"age": Fraction(63), "sex": "f"},
    ],
)
def test_a_row_is_the_same_however_it_is_written(source: Any, tmp_path: Path) -> None:
    assert load_row(source) == {"age": 63.0, "sex": "f"}
    file = tmp_path / "row.json"
    file.write_text('{"age": 63, "sex": "f", "dose": "?"}')
    assert load_row(file) == load_row(str(file)) == {"age": 63.0, "sex": "f"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "no column of a row"),
        ("age", "write a=1,b=2"),
        ("[1, 2]", "JSON list, not an object"),
        ('{"a": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a": [1]}', "holds list"),
        ('{"a": {"b": 1}}', "holds pairs"),
        ('{"a": 1, "a": 2}', "twice"),
        ("a=1,a=2", "twice"),
        ('{"a": 1e999}', "infinite"),
        ({"a": 10**400}, "infinite"),
        ({"a": -float("inf")}, "infinite"),
        ({"a": np.zeros(2)}, "holds ndarray"),
        ({"a": None}, "no value in any column"),
        ({}, "no value in any column"),
        ({3: 1}, "give each a name"),
        ({str(i): i for i in range(5000)}, "5,000 columns"),
        ("a=" + "1" * 2_000_000, "characters"),
        (b"\xff\xfe", "not text at byte"),
        (7, "must be a mapping"),
        ("nowhere.json", "does not exist"),
    ],
)
def test_what_is_no_row_is_refused_in_one_sentence(source: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        load_row(source)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def encode(encoder: TableEncoder, *rows: Any) -> torch.Tensor:
    made = [encoder.preprocess(row) for row in rows]
    return encoder(**{key: torch.stack([one[key] for one in made]) for key in made[0]})


def test_statistics_are_of_the_rows_and_make_the_encoder() -> None:
    columns = column_statistics(ROWS)
    assert columns == {"age": [40.0, 10.0], "sex": ["f", "m"], "dose": [2.0, 0.408248]}
    assert column_statistics([{"constant": 4}]) == {"constant": [4.0, 1.0]}
    with pytest.raises(InputError, match="no rows"):
        column_statistics([])
    encoder = make_own("table", {"columns": columns})
    assert isinstance(encoder, TableEncoder)  # known by its entry point
    features = encode(encoder, *ROWS)
    assert features.shape == (3, 3, encoder.width)
    assert features[0, 0, 1] == -1 and features[1, 0, 1] == 1  # z of age
    assert features[2, 0].count_nonzero() == 1  # a missing value leaves only which column it is
    assert not torch.equal(features[0, 2], features[1, 2]) and torch.equal(features[1, 2], features[2, 2])  # sex


def test_a_column_changes_its_own_token_only() -> None:
    encoder = TableEncoder(column_statistics(ROWS))
    before, after = encode(encoder, {**ROWS[0]}, {**ROWS[0], "dose": 1.6})
    assert (before != after).any(-1).tolist() == [False, True, False]
    far, further = encode(encoder, {"age": 1e6}, {"age": 1e9})
    assert torch.equal(far, further)  # cut at 8 deviations
    with pytest.raises(InputError, match="'height', but the columns are age, dose, sex"):
        encoder.preprocess({"height": 3})
    with pytest.raises(InputError, match="'x', but its categories are f, m"):
        encoder.preprocess({"sex": "x"})
    with pytest.raises(InputError, match="'old', but holds numbers"):
        encoder.preprocess({"age": "old"})


@pytest.mark.parametrize("columns", [{}, {"a": [0.0, 0.0]}, {"a": [float("nan"), 1]}, {"a": ["x", "x"]}, {"a": []}])
def test_statistics_that_are_none_are_refused(columns: dict[str, list[Any]]) -> None:
    with pytest.raises(InputError):
        TableEncoder(columns)


def _model(columns: dict[str, list[Any]]) -> tuple[MidstreamForCausalLM, MidstreamProcessor]:
    from transformers import AutoTokenizer

    from midstream import pocket

    tokenizer = AutoTokenizer.from_pretrained(str(pocket.lm_path()))
    torch.manual_seed(0)
    lm = tiny_lm("llama", vocab_size=len(tokenizer))
    table = Modality("table", connector="mlp", schedule=deep_insert(1), options={"columns": columns})
    model = MidstreamForCausalLM.from_parts(lm, table=table).eval()
    return model, MidstreamProcessor.from_model(model, tokenizer)


@torch.no_grad()
def test_a_saved_model_keeps_its_statistics(tmp_path: Path) -> None:
    model, processor = _model(column_statistics(ROWS))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    asked = [
        {"role": "user", "content": [{"type": "table", "table": "age=44,sex=m"}, {"type": "text", "text": "who?"}]}
    ]
    logits = model(**processor.apply_chat_template(asked)).logits
    again = MidstreamForCausalLM.from_pretrained(tmp_path, lm=model.lm).eval()
    reread = MidstreamProcessor.from_pretrained(tmp_path)
    assert torch.equal(again(**reread.apply_chat_template(asked)).logits, logits)
    # control: other statistics are another encoder, and connectors trained with these are refused
    config = json.loads((tmp_path / "config.json").read_text())
    config["modalities"]["table"]["options"]["columns"]["age"] = [41.0, 10.0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="table"):
        MidstreamForCausalLM.from_pretrained(tmp_path, lm=model.lm)
