"""Whether tokens that are only read, parked or dropped on the way come out right in a family, or are refused.

Each route is a schedule that uses what the engine can do beside letting tokens join. A route must be refused when the
model is made, naming the reason, or equal the layer-by-layer oracle, itself on a cache, and its rows in a batch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from layerwise import attention, layerwise, places
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.compat.checks import FLOAT32, Result
from midstream.compat.scene import ROWS, Row, collate
from midstream.engine.call import current
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import fastv, pyramid_drop, shortv, vica
from midstream.schedule import Keep, Schedule
from midstream.testing import tiny_encoder

ROUTES: Mapping[str, Schedule] = {
    "shortv": shortv((1, 3)),
    "vica": vica((0, 2, 4)),
    "fastv": fastv(2, 0.5),
    "pyramid_drop": pyramid_drop((2,), 0.5),
    "entering_late": Schedule(2, 5, readable=(3,), keeps=(Keep(4, 0.5),)),
}
"""For an LM of at least five layers."""


def routing(lm: PreTrainedModel) -> Result:
    """All routes: the largest difference. The note says which route and check gave it, and what is refused and why."""
    worst, where = 0.0, "every route is refused"
    refused: dict[str, list[str]] = {}
    for name in ROUTES:
        try:
            found = route(lm, name)
        except InputError as refusal:
            refused.setdefault(str(refusal), []).append(name)
            continue
        for check, value in found.items():
            if not value <= worst or where.startswith("every"):
                worst, where = value, f"{name} {check}"
    notes = [f"{', '.join(names)}: {reason}" for reason, names in refused.items()]
    all_refused = sum(map(len, refused.values())) == len(ROUTES)
    return Result(None if all_refused else worst, FLOAT32, "; ".join([where, *notes]))


def route(lm: PreTrainedModel, name: str) -> dict[str, float]:
    """The differences of one route, by check.

    Raises:
        InputError: the engine refuses the route when the model is made.
        AssertionError: it refuses it only in a call.
    """
    model = joined(lm, ROUTES[name])
    try:
        found = {"oracle": against_oracle(model), "cached": cached(model), "padding": padding(model)}
        return found | ({"chosen": chosen(model)} if model.engine.asks and not ROUTES[name].enter else {})
    except InputError as late:
        raise AssertionError(f"refused in a call, not when the model is made: {late}") from late
    finally:
        model.engine.detach()


def joined(lm: PreTrainedModel, schedule: Schedule) -> MidstreamForCausalLM:
    """`lm` with the sense `image` under this schedule.

    Raises:
        InputError: the engine refuses it.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MidstreamForCausalLM.from_parts(lm, image=Modality(tiny_encoder("vit"), "linear", schedule))
        for parameter in model.trained_tensors().values():
            nn.init.normal_(parameter, std=0.3)
    return model


def inputs_of(rows: tuple[Row, ...]) -> dict[str, Tensor]:
    """Left-padded inputs; in each row the first column that reads all tokens decides which of them are kept."""
    inputs = collate(rows)
    width = inputs["input_ids"].shape[1]
    asking = [max(row.slots, default=0) + width - len(row.ids) for row in rows]
    return inputs | {"asking_columns": torch.tensor(asking)}


def against_oracle(model: MidstreamForCausalLM) -> float:
    """The engine against the plain LM layer by layer; which tokens are kept is taken from the engine."""
    differences = []
    for row in ROWS:
        found, kept = _watched(model, row)
        differences.append(_difference(found, layerwise(model, row, kept)))
    return _worst(differences)


def cached(model: MidstreamForCausalLM) -> float:
    """A prompt read in one go, against its first columns and then a few at a time on the cache."""
    inputs = inputs_of(ROWS[:1])
    ids, whole = inputs["input_ids"], _logits(model, inputs)[0]
    first = max(ROWS[0].slots) + 1
    inputs |= {name: inputs[name][:, :first] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        step = model(**inputs, use_cache=True)
        parts = [step.logits[0]]
        for start, end in ((first, first + 2), (first + 2, ids.shape[1])):
            step = model(
                input_ids=ids[:, start:end],
                attention_mask=torch.ones(1, end, dtype=torch.long),
                past_key_values=step.past_key_values,
                use_cache=True,
            )
            parts.append(step.logits[0])
    return _difference(torch.cat(parts), whole)


def padding(model: MidstreamForCausalLM) -> float:
    """Rows of several lengths in one batch against each row alone."""
    inputs = inputs_of(ROWS)
    together, real = _logits(model, inputs), inputs["attention_mask"].bool()
    pairs = [(together[i][real[i]], _logits(model, inputs_of((row,)))[0]) for i, row in enumerate(ROWS)]
    return _worst([_difference(found, alone) for found, alone in pairs])


def chosen(model: MidstreamForCausalLM) -> float:
    """How much more attention the best choice of tokens gets than the engine's, by weights that the LM shows, if any.

    For schedules with one keep whose tokens live from layer 0 on.
    """
    missed = [0.0]
    (keep,) = model.engine.schedules["image"].keeps
    for row in ROWS[:2]:
        weights_WW = attention(model, row, keep.looks_at or 0)
        if weights_WW is None:
            continue
        of_tokens, of_text = places(row)
        scores_SK = weights_WW[of_text[max(row.slots)], of_tokens].unflatten(0, (len(row.slots), -1))
        kept_SK = _watched(model, row)[1][1][: len(of_tokens)].view_as(scores_SK)
        best_S = scores_SK.topk(keep.count(scores_SK.shape[1]), dim=1).values.sum(1)
        missed.append(float((best_S - (scores_SK * kept_SK).sum(1)).abs().max()))
    return _worst(missed)


def _watched(model: MidstreamForCausalLM, row: Row) -> tuple[Tensor, dict[int, Tensor]]:
    """Logits of one row, and which tokens the engine kept, by how many keeps are behind them."""
    kept: dict[int, Tensor] = {}

    def look(module: nn.Module, args: Any) -> None:
        call = current(model.engine)
        kept.update({cut: mask[0] for (_, cut), mask in call.items.kept.items()} if call is not None else {})

    handle = model.engine.anatomy.layers[-1].register_forward_pre_hook(look)
    try:
        return _logits(model, inputs_of((row,)))[0], kept
    finally:
        handle.remove()


def _logits(model: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def _worst(values: list[float]) -> float:
    """The largest; NaN is larger than any."""
    return max(values, key=lambda value: float("inf") if value != value else value)
