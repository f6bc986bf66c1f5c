"""What every behaviour is tested over: LM families x schedules x connectors, on tiny random models, and their inputs.

Knows how to build; the properties themselves stand in the test modules. All in float32 on the CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.encoders import FeatureSpec
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, deepstack, ep_alm, fastv, prepend, shortv, soft_prompt, vica, window
from midstream.schedule import Keep, Schedule
from midstream.testing import DEPTH, LM_FAMILIES, tiny_encoder, tiny_lm

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
"""Logits here are of order 1 and float32; anything put in the wrong place moves them by 1e-2 and more."""

CONNECTORS: tuple[dict[str, Any], ...] = (
    {"kind": "linear"},
    {"kind": "mlp", "hidden": 20},
    {"kind": "resampler", "queries": 3, "depth": 1},
)

PATCH_LEVELS = FeatureSpec(layers=(-3, -2, -1), tokens="patches")
CLS_LEVELS = FeatureSpec(layers=(-2, -1), tokens="cls", norm=True)


def _image(schedule: Any) -> Callable[[dict[str, Any]], dict[str, Modality]]:
    return lambda connector: {"image": Modality(encoder("vit"), connector, schedule)}


CASES: dict[str, Callable[[dict[str, Any]], dict[str, Modality]]] = {
    "prepend": _image(prepend()),
    "deep_insert_middle": _image(deep_insert(3)),
    "deep_insert_last": _image(deep_insert(DEPTH - 1)),
    "window_middle": _image(window(2, 5)),
    "window_from_0": _image(window(0, 3)),
    "ep_alm": lambda connector: {
        "image": Modality(encoder("vit"), {"kind": "linear", "per_level": True}, ep_alm(2, 4, 2), CLS_LEVELS)
    },
    "deepstack": lambda connector: {
        "image": Modality(encoder("vit"), {"kind": "linear", "per_level": True}, deepstack(3, first=1), PATCH_LEVELS)
    },
    "shortv": _image(shortv((1, 3, 4))),
    "vica": _image(vica((0, 2, 4))),
    "fastv": _image(fastv(2, 0.5)),
    "pyramid": _image(Schedule(1, 5, keeps=(Keep(2, 0.7, "even"), Keep(4, 0.5, "preview")), readable=(3,))),
    "two_readers": lambda connector: {
        "image": Modality(encoder("vit"), connector, shortv((2, 3))),
        "other": Modality(encoder("dinov2"), {"kind": "linear"}, Schedule(1, 5, parked=(2,), readable=(3,))),
    },
    "own_slot": _image(Schedule(1, parked=(2,), keeps=(Keep(4, 0.5, "norm"),), reach="slot")),
    "prompt_and_image": lambda connector: {
        "prompt": Modality("soft_prompt", {"kind": "soft_prompt", "tokens": 3}, soft_prompt()),
        "image": Modality(encoder("vit"), connector, deep_insert(3)),
    },
    "two_senses": lambda connector: {
        "image": Modality(encoder("vit"), connector, deep_insert(2)),
        "other": Modality(encoder("dinov2"), {"kind": "linear"}, window(1, 4), {"tokens": "cls"}),
    },
}
"""Name -> modalities, given a connector. `deep_insert(0)` is `prepend()`; tests/test_schedule.py says so."""

FAMILY_BY_CASE = [(family, case) for family in LM_FAMILIES for case in CASES]

every_case = pytest.mark.parametrize(("family", "case"), FAMILY_BY_CASE)
"""All families x all schedules; the connector rotates along, so each meets every family and every schedule."""


ASKING = ("fastv", "pyramid")
"""Cases in which the question chooses what is kept of the pictures that come with it."""


def a_quarter(offset: int, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """A quarter of the cross product, for slow behaviours; 15 schedules and 4 are coprime, so none is left out."""
    chosen = [pair for pair in FAMILY_BY_CASE[offset::4] if pair[1] not in without]
    return pytest.mark.parametrize(("family", "case"), chosen)


@cache
def encoder(family: str) -> PreTrainedModel:
    """A tiny frozen encoder, the same one each time."""
    return sharpened(tiny_encoder(family))


@cache
def lm(family: str) -> PreTrainedModel:
    """A tiny LM that models share; their hooks sleep outside their own calls."""
    return sharpened(tiny_lm(family))


@cache
def plain_lm(family: str) -> PreTrainedModel:
    """The same LM by itself: what everything is compared with. Never attach anything to it."""
    return fresh_lm(family)


@cache
def showing_lm(family: str) -> PreTrainedModel:
    """The same LM, with attention that shows its weights."""
    lm = fresh_lm(family)
    lm.set_attn_implementation("eager")
    return lm


def fresh_lm(family: str, **changes: Any) -> PreTrainedModel:
    """The same LM with nothing attached to it."""
    return sharpened(tiny_lm(family, **changes))


def sharpened(model: PreTrainedModel) -> PreTrainedModel:
    """Weights ten times as large: a fresh model attends to everything alike and would hide what is misplaced."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10)
    return model


@cache
def model(family: str, case: str, positions: str = "merged") -> MidstreamForCausalLM:
    """The model of one case, built once. Tests that change a model build their own with `build`."""
    return build(lm(family), case, positions, list(LM_FAMILIES).index(family))


def build(lm: PreTrainedModel, case: str, positions: str = "merged", turn: int = 0) -> MidstreamForCausalLM:
    """A model of `case` around `lm`, with connectors that are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        connector = CONNECTORS[(turn + list(CASES).index(case)) % len(CONNECTORS)]
        made = MidstreamForCausalLM.from_parts(lm, positions=positions, **CASES[case](connector))
        prompt = made.modalities["prompt"].connector if "prompt" in made.modalities else None
        if prompt is not None:
            nn.init.normal_(prompt.table)
    return made


@dataclass(frozen=True)
class Row:
    """One prompt without padding: token ids, and for each sense the columns its slots stand before."""

    ids: tuple[int, ...]
    slots: dict[str, tuple[int, ...]] = field(default_factory=dict)
    media: int = 0

    @property
    def asking(self) -> int:
        """The text column whose attention decides which tokens are kept: the first that reads all of them."""
        return max((column for columns in self.slots.values() for column in columns), default=0)

    def picture(self, name: str, slot: int) -> Tensor:
        """The picture in a slot, (C, H, W); another one for each row, sense and slot."""
        seed = 1000 * self.media + 100 * (name != "image") + slot
        return torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed))


ROWS = (
    Row((11, 25, 38, 47, 52, 61, 79, 83, 94, 16, 23), {"image": (4,), "other": (4,)}, media=1),
    Row((7, 45, 93, 21, 66), {"image": (0, 3), "other": (2,)}, media=2),
    Row((31, 62, 17, 88, 41, 29, 36)),
    Row((9, 71, 58, 33, 27, 64, 19, 50), {"image": (5, 5)}, media=4),
)
"""Slots at the start, in the middle and two at one place; a row without media; lengths from 5 to 11."""


def collate(rows: Sequence[Row], names: Sequence[str], side: str = "left") -> dict[str, Tensor]:
    """Model inputs for `rows`, padded on `side`; `names` are the senses of the model that take media."""
    width = max(len(row.ids) for row in rows)
    shifts = [(width - len(row.ids)) if side == "left" else 0 for row in rows]
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for index, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
        ids[index, shift : shift + len(row.ids)] = torch.tensor(row.ids)
        mask[index, shift : shift + len(row.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if names:
        inputs["asking_columns"] = torch.tensor([row.asking + shift for row, shift in zip(rows, shifts, strict=True)])
    for name in names:
        most = max(len(row.slots.get(name, ())) for row in rows)
        if not most:
            continue
        slots, pixels = torch.full((len(rows), most), -1), torch.zeros(len(rows), most, 3, 16, 16)
        for index, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
            for slot, column in enumerate(row.slots.get(name, ())):
                slots[index, slot] = column + shift
                pixels[index, slot] = row.picture(name, slot)
        inputs |= {f"{name}_slots": slots, f"{name}_pixel_values": pixels}
    return inputs


def senses(made: MidstreamForCausalLM) -> list[str]:
    """The modalities of a model that take media."""
    return [name for name, modality in made.modalities.items() if modality.encoder is not None]


def text_logits(made: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> list[Tensor]:
    """For each row the logits of its real text columns, (length, vocabulary)."""
    with torch.no_grad():
        logits = made(**inputs).logits
    return [logits[row][inputs["attention_mask"][row].bool()] for row in range(len(logits))]


def same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors agree in shape and, within float32, in value."""
    return len(found) == len(expected) and all(
        a.shape == b.shape and torch.allclose(a, b, **TOLERANCE) for a, b in zip(found, expected, strict=True)
    )
