"""The fast path equals the slow oracle for every schedule, LM shape and position rule."""

from typing import Any

import oracle
import pytest
import torch
from torch import Tensor

import cases
from midstream.engine.call import POSITION_RULES
from midstream.modeling import MidstreamForCausalLM

WHOLE = [(family, case, rule) for family in ("llama", "opt") for case in cases.CASES for rule in POSITION_RULES]
OTHERS = [(family, case) for family in oracle.SHAPES if family not in ("llama", "opt") for case in cases.CASES]
SAMPLED = [(*pair, POSITION_RULES[index % 3]) for index, pair in enumerate(OTHERS)]


@torch.no_grad()
def _slow(made: MidstreamForCausalLM) -> list[Tensor]:
    return [oracle.text_logits(made, row) for row in cases.ROWS]


@pytest.mark.parametrize(("family", "case", "positions"), WHOLE + SAMPLED)
def test_fast_path_equals_the_oracle(family: str, case: str, positions: str) -> None:
    made = cases.model(family, case, positions)
    fast = cases.text_logits(made, cases.collate(cases.ROWS, cases.senses(made)))
    assert cases.same(fast, _slow(made))


def test_control_the_position_rules_differ() -> None:
    """Or else the three runs above would be one. They agree on text that no token precedes."""
    made = {rule: cases.model("llama", "deep_insert_middle", rule) for rule in POSITION_RULES}
    logits = [cases.text_logits(one, cases.collate(cases.ROWS[:1], ["image"]))[0] for one in made.values()]
    slot = cases.ROWS[0].slots["image"][0]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert cases.same([logits[one][:slot]], [logits[other][:slot]])
        assert not cases.same([logits[one][slot:]], [logits[other][slot:]])


def _broken(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break one rule of the oracle."""
    if part == "entry":  # the tokens are readable below their entry layer
        right = oracle.causal
        monkeypatch.setattr(oracle, "causal", lambda live, window: right([True] * len(live), window))
    elif part == "write":  # nothing is overwritten above layer 2
        right_write = oracle.write

        def write_early_only(hidden: Tensor, *rest: Any) -> Tensor:
            return right_write(hidden, *rest) if rest[-1] < 3 else hidden

        monkeypatch.setattr(oracle, "write", write_early_only)
    elif part == "order":  # a slot stands one text column late
        right_merge = oracle.merged
        monkeypatch.setattr(oracle, "merged", lambda row, *rest: right_merge(_late(row), *rest))
    elif part == "still":  # tokens that are only read, or not even that, change like all others
        monkeypatch.setattr(oracle, "is_still", lambda state: False)
    elif part == "asking":  # another token's attention decides
        monkeypatch.setattr(cases.Row, "asking", 0)
    elif part == "drops":  # nothing is dropped
        monkeypatch.setattr(oracle, "drops", lambda *_: set())
    elif part == "window":
        monkeypatch.setattr(oracle, "window_of", lambda config, layer: 7)


def _late(row: cases.Row) -> cases.Row:
    return cases.Row(row.ids, {name: tuple(c + 1 for c in columns) for name, columns in row.slots.items()}, row.media)


@pytest.mark.parametrize(
    ("family", "case", "part"),
    [
        ("llama", "deep_insert_middle", "entry"),
        ("opt", "window_middle", "entry"),
        ("llama", "ep_alm", "write"),
        ("opt", "deepstack", "write"),
        ("llama", "shortv", "still"),
        ("opt", "vica", "still"),
        ("llama", "fastv", "asking"),
        ("opt", "pyramid", "drops"),
        ("llama", "deep_insert_last", "write"),
        ("opt", "deep_insert_middle", "order"),
        ("mistral", "deep_insert_middle", "window"),
    ],
)
def test_control_a_broken_oracle_is_noticed(family: str, case: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cases.model(family, case)
    fast = cases.text_logits(made, cases.collate(cases.ROWS, cases.senses(made)))
    _broken(part, monkeypatch)
    assert not cases.same(fast, _slow(made))
