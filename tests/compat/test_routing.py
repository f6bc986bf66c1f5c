"""Tokens that are read, parked or dropped on the way are right in families that attend differently, or are refused."""

import pytest
from routing import route, routing

from midstream.compat.families import tiny_model
from midstream.engine import junctions
from midstream.engine.call import Call
from midstream.errors import InputError

FAMILIES = {
    "llama": "grouped keys",
    "bloom": "biases by distance",
    "gpt_bigcode": "one key head, and one matrix for queries, keys and values",
    "deepseek_v3": "latent keys",
    "gpt_oss": "attention sinks and windows",
    "jetmoe": "experts that attend, chosen by a softmax before the attention's",
    "bart": "a cache for two attentions",
    "xglm": "heads folded into the rows",
}

REFUSED = {
    ("gpt_neo", "shortv"): "layer 1, which cuts its own window by counting queries",
    ("deepseek_v32", "vica"): "layer 0, which is of type indexed_attention and keeps more",
    ("falcon_h1", "fastv"): "layer 1, which is of type hybrid and keeps more",
    ("lfm2_moe", "shortv"): "layer 1, which is of type conv and has no keys",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_route_is_right(family: str) -> None:
    result = routing(tiny_model(family))
    assert result.passed and result.value is not None, result.note
    assert ";" not in result.note, "a route was refused"


@pytest.mark.parametrize(("family", "name"), REFUSED)
def test_what_cannot_be_right_is_refused_when_the_model_is_made(family: str, name: str) -> None:
    with pytest.raises(InputError, match=REFUSED[family, name]):
        route(tiny_model(family), name)


def test_a_family_may_follow_some_routes_only() -> None:
    """GPT-Neo attends to a window of its own in every other layer."""
    result = routing(tiny_model("gpt_neo"))
    assert result.passed and result.note.startswith(("vica", "pyramid_drop"))
    assert all(f"; {name}: the tokens of image" in result.note for name in ("shortv", "fastv", "entering_late"))


def test_control_masks_of_other_queries_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = junctions.rows_of
    monkeypatch.setattr(junctions, "rows_of", lambda mask, rows, *rest: true(mask, rows * 0 + rows.max(), *rest))
    assert route(tiny_model("llama"), "shortv")["oracle"] > 1e-2


def test_control_the_attention_of_another_token_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Call.asking
    monkeypatch.setattr(Call, "asking", lambda self: (true(self) - 1).clamp(min=0))
    assert route(tiny_model("llama"), "fastv")["chosen"] > 1e-2
