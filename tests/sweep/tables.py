"""Rows of a results table with known scores, for tests of what is made from them. No run stands behind them."""

import json
import random
from typing import Any

from midstream.sweep.results import COLUMNS

CONTROLS = {"ceiling": 0.97, "blind": 0.3, "shuffled": 0.27, "untrained": 0.25}


def row(**facts: Any) -> dict[str, Any]:
    """One row; what is not said is as in a small run of one cell."""
    usual = {
        "cell": "cell",
        "method": "deep_insert",
        "modality": "image",
        "lm": "pocket",
        "data": "pocket pictures",
        "enter": 4,
        "connector": "mlp",
        "tokens": 64,
        "learned_tokens": 0,
        "trained_parameters": 131_968,
        "data_fraction": 1.0,
        "seed": 0,
        "split": "test",
        "kind": "all",
        "metric": "exact",
        "condition": "accuracy",
        "bad": 0,
        "layers": 8,
        "grid": "grid",
        "recipe": "deep_insert",
        "settings": "{}",
        "question_set": "one",
        "parts": json.dumps({"language model pocket": "abc"}),
        "versions": json.dumps({"torch": "2.13.0"}),
        "machine": json.dumps({"system": "Linux", "cores": 2}),
        "command": "midstream sweep grid",
        "date": "2026-11-22T00:00:00+00:00",
    }
    made = dict.fromkeys(COLUMNS) | usual | facts
    return made | {"value": made["value"] or sum(made["scores"]) / len(made["scores"]), "n": len(made["scores"] or [0])}


def answers(share: float, n: int, seed: int) -> list[float]:
    """`n` scores of 0 or 1, drawn with this chance of 1."""
    rng = random.Random(seed)
    return [float(rng.random() < share) for _ in range(n)]


def cell(share: float, n: int = 200, seed: int = 0, **facts: Any) -> list[dict[str, Any]]:
    """The rows of one cell: the trained model, its controls, and two kinds of questions."""
    facts = {"seed": seed, "scenes": [float(number) for number in range(n)], **facts}
    facts.setdefault("cell", f"{facts.get('method', 'deep_insert')},{facts.get('settings', '')},seed={seed}")
    rows = [row(scores=answers(share, n, 7 * seed + round(1000 * share)), **facts)]
    for number, (condition, chance) in enumerate(CONTROLS.items()):
        rows.append(row(scores=answers(chance, n, number), condition=condition, **facts))
    plain = {key: value for key, value in facts.items() if key != "scenes"}
    return [*rows, *(row(kind=kind, value=share, scores=None, **plain) for kind in ("colour", "count"))]


def study() -> list[dict[str, Any]]:
    """Depths, methods and shares of the data, two splits, three seeds."""
    rows = []
    for seed in range(3):
        for split, loss in (("test", 0.0), ("held_out", 0.12)):
            for layer, share in enumerate((0.86, 0.87, 0.88, 0.87, 0.85, 0.6, 0.31, 0.26)):
                facts = {"prefill_ms": 12 - 0.6 * layer, "train_step_flops": int(4e9 - 3.6e8 * layer), "split": split}
                facts |= {"prefill_flops": int(4.8e8 - 5e7 * layer)}
                settings = json.dumps({"modalities.image.schedule.layer": layer})
                rows += cell(max(share - loss, 0.26), seed=seed, enter=layer, settings=settings, **facts)
            facts = {"method": "ep_alm", "recipe": "ep_alm", "split": split, "tokens": 1, "prefill_ms": 8.2}
            facts |= {"train_step_flops": int(9e8), "prefill_flops": int(1.9e8)}
            rows += cell(0.5 - loss, seed=seed, settings=json.dumps({"fraction": 1}), **facts)
            for share, value in ((0.001, 0.3), (0.01, 0.37), (0.1, 0.45)):
                settings = json.dumps({"fraction": share})
                rows += cell(value - loss / 3, seed=seed, data_fraction=share, **facts | {"settings": settings})
    return rows
