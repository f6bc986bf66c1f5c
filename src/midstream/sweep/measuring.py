"""The rows of a trained cell: what it is, its scores with every control, and what it costs. Writes no file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from midstream.cost.comparison import LEARNED
from midstream.data.sources import open_rows
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.progress import Report
from midstream.recipe import Data, PocketData
from midstream.sweep.cells import Cell
from midstream.sweep.costing import SAMPLE, on_paper, on_the_clock, text_lengths
from midstream.sweep.results import ALL, CAPTIONS, MOVED
from midstream.tasks.evaluation import evaluate
from midstream.tasks.moving import entering_at
from midstream.tasks.questions import questions_of

LONGEST_CAPTION = 64
"""Tokens of a description at most."""


def rows_of(
    cell: Cell, model: MidstreamForCausalLM, processor: MidstreamProcessor, trained: Mapping[str, Any], report: Report
) -> list[dict[str, Any]]:
    """The rows of a finished cell, see `midstream.sweep.results.COLUMNS`.

    Args:
        cell: what was trained.
        model: the result.
        processor: the model's.
        trained: what training tells: `steps`, `loss`, `train_seconds`, `cache_seconds`.
        report: told how many answers are there.

    Raises:
        InputError: a split that the data do not have, or rows that cannot be read.
    """
    shared = described(cell, model) | dict(trained) | on_paper(cell.recipe, text_lengths(cell.recipe, processor))
    first = open_rows(cell.recipe.data, cell.evaluate.splits[0], SAMPLE)
    shared |= on_the_clock(model, processor, [q for row in first[:SAMPLE] for q in questions_of(row)])
    rows: list[dict[str, Any]] = []
    for split in cell.evaluate.splits:
        asked = _Asked(cell, processor, split, report)
        rows += [shared | row for row in asked.rows(model, cell.evaluate.controlled(split, cell.recipe.training.seed))]
        for layer in cell.evaluate.moved:
            with entering_at(model, layer) as moved:
                found = asked.rows(moved, controls=False)
            rows += [shared | row | {"condition": f"{MOVED}{layer}"} for row in found if row["kind"] in (ALL, CAPTIONS)]
    return rows


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked about one split."""

    cell: Cell
    processor: MidstreamProcessor
    split: str
    report: Report

    def rows(self, model: MidstreamForCausalLM, controls: bool) -> list[dict[str, Any]]:
        """The scores of a model: of the questions, and of as many descriptions as the cell wants."""
        recipe, wanted = self.cell.recipe, self.cell.evaluate
        found = tidy(self._evaluated(model, recipe.data, wanted.n, controls, recipe.evaluation.model_dump()))
        if wanted.captions:
            told = recipe.evaluation.model_dump() | {"metric": "cider", "max_new_tokens": LONGEST_CAPTION}
            data = recipe.data
            if isinstance(data, PocketData):
                data = data.model_copy(update={"asked": "descriptions"})
            found += tidy_captions(self._evaluated(model, data, wanted.captions, controls, told))
        return [row | {"split": self.split} for row in found]

    def _evaluated(
        self, model: MidstreamForCausalLM, data: Data, n: int, controls: bool, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        return evaluate(
            model,
            self.processor,
            open_rows(data, self.split, n),
            **{key: value for key, value in settings.items() if key not in ("split", "n")},
            controls=controls,
            detailed=True,
            report=self.report,
        )


def tidy(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An evaluation as rows: one for each condition, and for the trained model one for each kind of question."""
    shared = _facts(found)
    scenes, kinds = [row for row, _ in found["asked"]], [kind for _, kind in found["asked"]]
    rows = []
    for condition, scores in found["scores"].items():
        whole = {"kind": ALL, "value": mean(scores), "n": len(scores), "scores": scores, "scenes": scenes}
        rows.append({**shared, "condition": condition, **whole})
    by_kind: dict[str, list[float]] = {}
    for kind, score in zip(kinds, found["scores"]["accuracy"], strict=True):
        by_kind.setdefault(kind, []).append(score)
    if set(by_kind) != {ALL}:
        parts = [{"kind": kind, "value": mean(found), "n": len(found)} for kind, found in sorted(by_kind.items())]
        rows += [{**shared, "condition": "accuracy", **part} for part in parts]
    return rows


def tidy_captions(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An evaluation of descriptions as rows of kind `captions`: every condition by its metric, of the trained model all
    caption metrics, and `length`, the mean number of tokens of a description."""
    shared = _facts(found) | {"kind": CAPTIONS, "n": found["n"]}
    scenes = [row for row, _ in found["asked"]]
    rows = [
        {**shared, "condition": condition, "value": found[condition], "scores": scores, "scenes": scenes}
        for condition, scores in found["scores"].items()
    ]
    others = {name: value for name, value in found["metrics"].items() if name != found["metric"]}
    return rows + [
        {**shared, "condition": "accuracy", "metric": name, "value": value} for name, value in others.items()
    ]


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """What all rows of an evaluation have in common."""
    facts = found["provenance"]
    return {
        "metric": found["metric"],
        "bad": found["bad"],
        "question_set": facts["data_hash"],
        "revision": facts["revision"],
        "versions": json.dumps(facts["versions"]),
        "machine": json.dumps(facts["machine"]),
        "command": facts["command"],
        "date": facts["date"],
    }


def described(cell: Cell, model: MidstreamForCausalLM) -> dict[str, Any]:
    """What a cell is, in columns. Where several modalities are in one model: their names joined, the lowest entry."""
    recipe = cell.recipe
    media = {name: part for name, part in recipe.modalities.items() if part.connector.kind != LEARNED}
    shown = media or recipe.modalities
    schedules = [model.engine.schedules[name] for name in shown]
    leaves = [schedule.leave for schedule in schedules]
    data = recipe.data
    return {
        "cell": cell.name,
        "method": cell.method,
        "modality": "+".join(media) or "none",
        "lm": recipe.lm,
        "data": f"pocket {data.world}" if isinstance(data, PocketData) else data.kind,
        "enter": min(schedule.enter for schedule in schedules),
        "leave": None if None in leaves else max(leave for leave in leaves if leave is not None),
        "connector": "+".join(dict.fromkeys(part.connector.kind for part in shown.values())),
        "trained_parameters": sum(tensor.numel() for tensor in model.trained_tensors().values()),
        "data_fraction": cell.fraction,
        "seed": recipe.training.seed,
        "batch_size": recipe.training.batch_size * recipe.training.gradient_accumulation,
        "learning_rate": recipe.training.lr,
        "recipe": recipe.name,
        "settings": json.dumps(cell.settings),
        "recipe_hash": cell.digest(),
        "parts": _parts(model),
    }


def _parts(model: MidstreamForCausalLM) -> str:
    """Each frozen part and a short name for its weights: under one name there may be other weights another day."""
    config = model.config
    frozen = {f"language model {config.lm}": config.lm_fingerprint}
    for name, part in (config.modalities or {}).items():
        if part.get("fingerprint"):
            frozen[f"{name} encoder {part['encoder']}"] = part["fingerprint"]
    return json.dumps({name: _weights(facts or {}) for name, facts in frozen.items()})


def _weights(fingerprint: Mapping[str, Any]) -> str:
    facts = {key: fingerprint.get(key) for key in ("architecture", "parameters", "sketch")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
