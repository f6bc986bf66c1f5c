"""The checks a family must pass. Each gives one measured number and the tolerance it must stay within.

Numbers are the largest difference of two sets of logits, divided by the largest logit (or 1); tokens are counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from midstream.compat.scene import ROWS, Row, collate, join, last_changed, oracle
from midstream.modeling import MidstreamForCausalLM

FLOAT32 = 1e-4
"""For two computations of the same in float32 with other shapes; anything out of place gives 1e-2 and more."""


@dataclass(frozen=True)
class Result:
    """Outcome of one check: `value` must be at most `tolerance`; None means that the LM itself does not offer it."""

    value: float | None
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """NaN does not pass."""
        return self.value is None or self.value <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"passed": self.passed}


def run_checks(lm: PreTrainedModel) -> Iterator[tuple[str, Result]]:
    """All checks of one LM, one after the other: (name, result).

    Raises:
        InputError: the engine refuses the LM.
    """
    entries = entry_layers(join(lm, 0))
    yield "text_only", _text_only(lm, entries["middle"])
    for name, entry in entries.items():
        yield f"entry_{name}", _worst(_against_oracle, lm, {name: entry})
    for check in (cached, padding, causality):
        yield check.__name__, _worst(check, lm, entries)
    yield "heard", _heard(lm, entries)
    yield "checkpointing", _checkpointing(lm, entries["middle"])
    yield "beams", _beams(lm, entries["middle"])


def entry_layers(model: MidstreamForCausalLM) -> dict[str, int]:
    """The entry layers that are tried."""
    depth = len(model.engine.anatomy.layers)
    model.engine.detach()
    return {"0": 0, "middle": depth // 2, "last": depth - 1}


def cached(model: MidstreamForCausalLM, entry: int) -> Result:
    """A prompt read in one go, against its first columns and then one or two at a time on the cache."""
    row = ROWS[0]
    whole = _logits(model, collate((row,)))[0]
    inputs = collate((row,))
    inputs["input_ids"], inputs["attention_mask"] = inputs["input_ids"][:, :9], inputs["attention_mask"][:, :9]
    with torch.no_grad():
        step = model(**inputs, use_cache=True)
        parts = [step.logits[0]]
        for first, last in ((9, 10), (10, 11), (11, 12)):
            new = torch.tensor([row.ids[first:last]])
            step = model(
                input_ids=new,
                attention_mask=torch.ones(1, last, dtype=torch.long),
                past_key_values=step.past_key_values,
                use_cache=True,
            )
            parts.append(step.logits[0])
    return Result(_difference(torch.cat(parts), whole), FLOAT32)


def padding(model: MidstreamForCausalLM, entry: int) -> Result:
    """Rows of several lengths in one batch, padded left and padded right, against each row alone."""
    alone = [_logits(model, collate((row,)))[0] for row in ROWS]
    worst = 0.0
    for side in ("left", "right"):
        inputs = collate(ROWS, side, width=15)
        together = _logits(model, inputs)
        for index, expected in enumerate(alone):
            found = together[index][inputs["attention_mask"][index].bool()]
            worst = _max(worst, _difference(found, expected))
    return Result(worst, FLOAT32)


def causality(model: MidstreamForCausalLM, entry: int) -> Result:
    """What a changed last text token, or a changed last picture, does to the logits before it."""
    rows = ROWS[:1]
    inputs = collate(rows)
    before = _logits(model, inputs)[0]
    later_text = _logits(model, collate(tuple(map(last_changed, rows))))[0]
    inputs["image_features"][:, 1] += 1.0
    later_picture = _logits(model, inputs)[0]
    second = rows[0].slots[1]
    value = _max(_difference(before[:-1], later_text[:-1]), _difference(before[:second], later_picture[:second]))
    return Result(value, 1e-5)


def _text_only(lm: PreTrainedModel, entry: int) -> Result:
    """Text alone against the plain LM, not padded, and padded and told the same positions: not one bit may differ."""
    model = join(lm, entry)
    single, padded = (
        {name: inputs[name] for name in ("input_ids", "attention_mask")}
        for inputs in (collate(ROWS[:1]), collate(ROWS))
    )
    del single["attention_mask"]
    positions = (padded["attention_mask"].cumsum(1) - 1).clamp(min=0) + model.engine.anatomy.first_position
    told = {"position_ids": positions} if model.engine.anatomy.takes_positions else {}
    with torch.no_grad():
        found = [model(**single).logits, model(**padded).logits]
        model.engine.detach()
        expected = [lm(**single).logits, lm(**padded, **told).logits]
    return Result(_max(*(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))), 0.0)


def _against_oracle(model: MidstreamForCausalLM, entry: int) -> Result:
    """The engine against the plain LM over the merged sequence, overwritten at the entry layer."""
    row = ROWS[0]
    found = _logits(model, collate((row,)))[0]
    return Result(_difference(found, oracle(model, row, entry)), FLOAT32)


def _heard(lm: PreTrainedModel, entries: dict[str, int]) -> Result:
    """How many entry layers leave the logits after the first slot as they were: the control of all the others."""
    deaf = 0
    for entry in entries.values():
        model = join(lm, entry)
        inputs = collate(ROWS[:1])
        before = _logits(model, inputs)[0]
        inputs["image_features"][:, 0] += 1.0
        deaf += not _difference(before, _logits(model, inputs)[0]) > 10 * FLOAT32
        model.engine.detach()
    return Result(float(deaf), 0.0)


def _checkpointing(lm: PreTrainedModel, entry: int) -> Result:
    """Gradients of the connector with the layers recomputed in backward, against those without."""
    model = join(lm, entry).train()
    plain = _gradient(model)
    try:
        model.gradient_checkpointing_enable()
    except ValueError as refusal:
        if lm.supports_gradient_checkpointing:
            raise
        return Result(None, 1e-6, str(refusal))
    again = _gradient(model)
    model.gradient_checkpointing_disable()
    model.engine.detach()
    return Result(float((plain - again).abs().max() / plain.abs().max()), 1e-6)


def _gradient(model: MidstreamForCausalLM) -> Tensor:
    model.zero_grad()
    inputs = collate(ROWS)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    model(**inputs, labels=labels).loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def _beams(lm: PreTrainedModel, entry: int) -> Result:
    """Three beams over a padded batch, against each row alone: tokens that differ."""
    model = join(lm, entry)
    settings: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": 3, "do_sample": False}
    together = model.generate(**collate(ROWS), **settings)[:, -4:]
    alone = torch.cat([model.generate(**collate((row,)), **settings)[:, -4:] for row in ROWS])
    model.engine.detach()
    return Result(float((together != alone).sum()), 0.0)


def _worst(
    check: Callable[[MidstreamForCausalLM, int], Result], lm: PreTrainedModel, entries: dict[str, int]
) -> Result:
    """One check at each entry layer; the largest number counts."""
    worst: Result | None = None
    for name, entry in entries.items():
        model = join(lm, entry)
        result = check(model, entry)
        model.engine.detach()
        if worst is None or not result.passed or (worst.passed and (result.value or 0) > (worst.value or 0)):
            worst = Result(result.value, result.tolerance, f"entry {name}")
    assert worst is not None
    return worst


def _logits(model: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def _max(a: float, b: float) -> float:
    """The larger; NaN wins, so that it is seen."""
    return a if a != a or a > b else b


__all__ = ["FLOAT32", "ROWS", "Result", "Row", "run_checks"]
