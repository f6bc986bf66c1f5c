"""The checks notice a broken engine: each defect here makes at least the check that is meant for it fail."""

from typing import Any

import pytest

from midstream.compat.checks import run_checks
from midstream.compat.families import tiny_model
from midstream.engine import junctions
from midstream.engine.anatomy import Anatomy
from midstream.engine.call import Memory


def failed(family: str = "llama") -> set[str]:
    """Names of the checks that fail."""
    return {name for name, result in run_checks(tiny_model(family)) if not result.passed}


def test_nothing_fails_without_a_defect() -> None:
    assert failed() == set()


def test_a_mask_that_shows_the_padding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Anatomy.masks

    def masks(self: Anatomy, layer: int, hidden: Any, mask: Any, cache: Any, positions: Any) -> Any:
        return true(self, layer, hidden, mask | True, cache, positions)

    monkeypatch.setattr(Anatomy, "masks", masks)
    assert "padding" in failed()


def test_rotary_embeddings_of_the_wrong_place_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Anatomy.rotary_embeddings

    def late(self: Anatomy, kind: str, hidden: Any, positions: Any) -> Any:
        return true(self, kind, hidden, positions * 2)

    monkeypatch.setattr(Anatomy, "rotary_embeddings", late)
    assert "entry_middle" in failed()


def test_an_open_mask_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Anatomy.masks

    def masks(self: Anatomy, *given: Any) -> dict[str, Any]:
        import torch

        hidden, mask = given[1], given[2]
        opened = torch.ones(len(mask), 1, hidden.shape[1], mask.shape[1], dtype=torch.bool)
        return dict.fromkeys(true(self, *given), opened)

    monkeypatch.setattr(Anatomy, "masks", masks)
    assert "causality" in failed()


def test_tokens_that_never_join_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = junctions.splice

    def silent(engine: Any, call: Any, layer: int, hidden: Any, before: Any) -> Any:
        call.cargo = {name: type(load)(load.slots_BS, load.tokens_BSVKD * 0) for name, load in call.cargo.items()}
        return true(engine, call, layer, hidden, before)

    monkeypatch.setattr(junctions, "splice", silent)
    assert "heard" in failed()


def test_a_forgotten_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "attach", lambda self, cache: None)
    with pytest.raises(Exception):  # noqa: B017 - lengths that do not fit, wherever they meet first
        assert not failed()
