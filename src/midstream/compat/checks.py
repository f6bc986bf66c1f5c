"""The checks a family must pass. Each gives one measured number and the tolerance it must stay within.

Numbers are the largest difference of two sets of logits, divided by the largest logit (or 1); tokens are counted.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from midstream.compat.plain import beams_alone, cached_alone, no_worse
from midstream.compat.result import FLOAT32, Result, difference
from midstream.compat.scene import ROWS, Row, collate, join, last_changed, oracle
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM


def run_checks(lm: PreTrainedModel) -> Iterator[tuple[str, Result]]:
    """All checks of one LM, one after the other: (name, result).

    Raises:
        InputError: the engine refuses the LM.
    """
    entries = entry_layers(join(lm, 0))
    yield "text_only", _text_only(lm, entries["middle"])
    for name, entry in entries.items():
        yield f"entry_{name}", _worst(_against_oracle, lm, {name: entry})
    yield "cached", no_worse(_worst(cached, lm, entries), lambda: cached_alone(lm))
    for check in (padding, causality):
        yield check.__name__, _worst(check, lm, entries)
    yield "heard", _heard(lm, entries)
    yield "checkpointing", _checkpointing(lm, entries["middle"])
    yield "beams", no_worse(_beams(lm, entries["middle"]), lambda: beams_alone(lm))


def entry_layers(model: MidstreamForCausalLM) -> dict[str, int]:
    """The entry layers that are tried."""
    depth = len(model.engine.anatomy.layers)
    model.engine.detach()
    return {"0": 0, "middle": depth // 2, "last": depth - 1}


def cached(model: MidstreamForCausalLM, entry: int) -> Result:
    """A prompt read in one go, against its first columns and then one or two at a time on the cache."""
    row, name = ROWS[0], model.engine.anatomy.cache_name
    if name is None:
        return Result(None, FLOAT32, "the LM keeps none")
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
                use_cache=True,
                **{name: step[name]},
            )
            parts.append(step.logits[0])
    return Result(difference(torch.cat(parts), whole), FLOAT32)


def padding(model: MidstreamForCausalLM, entry: int) -> Result:
    """Rows of several lengths in one batch, padded left and padded right, against each row alone."""
    if not model.engine.anatomy.reads_padding:
        return _padding_refused(model)
    alone = [_logits(model, collate((row,)))[0] for row in ROWS]
    worst = 0.0
    for side in ("left", "right"):
        inputs = collate(ROWS, side, width=15)
        together = _logits(model, inputs)
        for index, expected in enumerate(alone):
            found = together[index][inputs["attention_mask"][index].bool()]
            worst = _max(worst, difference(found, expected))
    return Result(worst, FLOAT32)


def _padding_refused(model: MidstreamForCausalLM) -> Result:
    """An LM that ignores its padding mask must not be given padding."""
    try:
        _logits(model, collate(ROWS))
    except InputError:
        return Result(None, FLOAT32, "the LM ignores it; rows of several lengths are refused")
    return Result(float("nan"), FLOAT32, "the LM ignores it, and rows of several lengths are not refused")


def causality(model: MidstreamForCausalLM, entry: int) -> Result:
    """What a changed last text token, or a changed last picture, does to the logits before it."""
    rows = ROWS[:1]
    inputs = collate(rows)
    before = _logits(model, inputs)[0]
    later_text = _logits(model, collate(tuple(map(last_changed, rows))))[0]
    inputs["image_features"][:, 1] += 1.0
    later_picture = _logits(model, inputs)[0]
    second = rows[0].slots[1]
    value = _max(difference(before[:-1], later_text[:-1]), difference(before[:second], later_picture[:second]))
    return Result(value, 1e-5)


def _text_only(lm: PreTrainedModel, entry: int) -> Result:
    """Text alone against the plain LM, not padded, and padded and told the same positions: not one bit may differ."""
    model = join(lm, entry)
    single = {"input_ids": collate(ROWS[:1])["input_ids"]}
    padded = {name: collate(_batch(model))[name] for name in ("input_ids", "attention_mask")}
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
    return Result(difference(found, oracle(model, row, entry)), FLOAT32)


def _heard(lm: PreTrainedModel, entries: dict[str, int]) -> Result:
    """How many entry layers leave the logits after the first slot as they were: the control of all the others."""
    deaf = 0
    for entry in entries.values():
        model = join(lm, entry)
        inputs = collate(ROWS[:1])
        before = _logits(model, inputs)[0]
        inputs["image_features"][:, 0] += 1.0
        deaf += not difference(before, _logits(model, inputs)[0]) > 10 * FLOAT32
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
    inputs = collate(_batch(model))
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    model(**inputs, labels=labels).loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def _beams(lm: PreTrainedModel, entry: int) -> Result:
    """Three beams over a padded batch, against each row alone, and without a cache: tokens that differ."""
    model = join(lm, entry)
    rows, note = _batch(model), ""
    try:
        together = _three_beams(model, rows)
    except ValueError as refusal:
        if "cannot be reordered" not in str(refusal):
            raise
        together, note = _three_beams(model, rows, use_cache=False), "without a cache: the LM's cannot be reordered"
    cached = {} if not note else {"use_cache": False}
    alone = torch.cat([_three_beams(model, (row,), **cached) for row in rows])
    differ = float((together != alone).sum() + (together[:1] != _three_beams(model, rows[:1], use_cache=False)).sum())
    model.engine.detach()
    return Result(differ, 0.0, note)


def _three_beams(model: MidstreamForCausalLM, rows: tuple[Row, ...], **settings: Any) -> Tensor:
    settings |= {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": 3, "do_sample": False}
    return model.generate(**collate(rows), **settings)[:, -4:]


def _batch(model: MidstreamForCausalLM) -> tuple[Row, ...]:
    """Rows for one batch: of one length where the LM ignores padding."""
    return ROWS if model.engine.anatomy.reads_padding else (ROWS[0], last_changed(ROWS[0]))


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
            worst = Result(result.value, result.tolerance, result.note or f"entry {name}")
    assert worst is not None
    return worst


def _logits(model: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits


def _max(a: float, b: float) -> float:
    """The larger; NaN wins, so that it is seen."""
    return a if a != a or a > b else b
