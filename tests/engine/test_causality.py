"""A later text token never changes earlier logits. The control: eP-ALM's published mask, whose open row leaks."""

from collections.abc import Callable
from dataclasses import replace

import oracle
import pytest
import torch
from torch import Tensor

import cases

Logits = Callable[[list[cases.Row]], list[Tensor]]


def _leaks(logits: Logits) -> bool:
    """Whether another last token moves the logits of any column before it, by anything at all."""
    changed = [replace(row, ids=(*row.ids[:-1], row.ids[-1] + 1)) for row in cases.ROWS]
    before, after = logits(list(cases.ROWS)), logits(changed)
    assert not any(torch.equal(a[-1], b[-1]) for a, b in zip(before, after, strict=True)), "the change is not seen"
    return not all(torch.equal(a[:-1], b[:-1]) for a, b in zip(before, after, strict=True))


def _fast(family: str, case: str, side: str = "left") -> Logits:
    made = cases.model(family, case)
    return lambda rows: cases.text_logits(made, cases.collate(rows, cases.senses(made), side))


@cases.every_case
def test_the_last_token_changes_nothing_before_it(family: str, case: str) -> None:
    assert not _leaks(_fast(family, case))


@cases.a_third(0)
def test_nor_with_padding_on_the_right(family: str, case: str) -> None:
    assert not _leaks(_fast(family, case, "right"))


@torch.no_grad()
def _slow(rows: list[cases.Row], open_row: bool) -> list[Tensor]:
    made = cases.model("opt", "ep_alm")

    def logits(row: cases.Row) -> Tensor:
        places = [i for i, item in enumerate(oracle.merged(row, {"image": [1] * 9}, ["image"])) if item.sense]

        def published(layer: int, allowed: Tensor) -> Tensor:
            """eP-ALM's mask: the token put in front of the causal mask may read every text column."""
            schedule = made.engine.schedules["image"]
            if schedule.is_live(layer):
                allowed = allowed.index_fill(0, torch.tensor(places, dtype=torch.long), True)
            return allowed

        return oracle.text_logits(made, row, published if open_row else None)

    return [logits(row) for row in rows]


@pytest.mark.parametrize("open_row", [False, True])
def test_control_the_published_ep_alm_mask_leaks(open_row: bool) -> None:
    assert _leaks(lambda rows: _slow(rows, open_row)) == open_row
