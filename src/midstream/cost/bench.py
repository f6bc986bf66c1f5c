"""The bench: schedules measured beside entry at 0 and text alone, and what of the ledger's promise arrives.

Owns what is measured and how it is put together; models come from `subjects`, clocks from `measure`.
"""

import gc
import time
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedConfig

from midstream.cost.comparison import ENTRY_0, TEXT_ONLY, Given, compare, entry_at_0
from midstream.cost.ledger import Work
from midstream.cost.measure import Clock, Run, interleaved, peak_bytes, ratios, share_of_saving, spread
from midstream.cost.shapes import read_shape
from midstream.cost.sources import Sense, on_meta
from midstream.cost.subjects import Bench, decode, joined, plain, prefill, random_lm, training_step, weight_bytes
from midstream.progress import Report, silent
from midstream.schedule import Schedule

STAGES = ("prefill", "decode", "train")
STEPS = 5
"""Decode steps in one round: one is too short to time on a busy machine."""


def bench(
    config: PreTrainedConfig,
    senses: Mapping[str, Sense],
    schedules: Mapping[str, Mapping[str, Schedule]],
    setting: Bench,
    rounds: int = 5,
    given: Given | None = None,
    stages: Sequence[str] = STAGES,
    report: Report = silent,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Measure `schedules` on random weights of this LM's shape.

    Args:
        config: the LM's.
        senses: its modalities.
        schedules: label -> modality name -> schedule.
        setting: how much of what, and where.
        rounds: in each of which every schedule has its turn, for each stage.
        given: features of modalities that have no encoder.
        stages: of `STAGES`.
        clock: see `interleaved`.

    Returns:
        {"schedules": {label: {stage: figures}}, "weights": bytes}; times in seconds, memory in bytes; entry at 0 and
        text alone are among the labels. `measured_over_ledger` is the share of the promised saving against entry at 0
        that arrives.

    Raises:
        InputError: a schedule does not fit the LM or its features.
    """
    whole = {ENTRY_0: entry_at_0(senses), **schedules}
    shape = read_shape(on_meta(config))
    work = Work(setting.batch, setting.text, setting.dtype.itemsize)
    paper = compare(shape, senses, schedules, work, given, setting.slots)
    promised = dict(zip([*whole, TEXT_ONLY], paper, strict=True))
    lm = random_lm(config, setting)
    subjects: dict[str, Any] = {label: joined(lm, senses, chosen, setting, given) for label, chosen in whole.items()}
    subjects[TEXT_ONLY] = plain(lm, setting)
    found: dict[str, dict[str, Any]] = {
        label: {"drawing": promised[label]["drawing"], "tokens": promised[label]["tokens"]} for label in subjects
    }
    for stage in stages:
        labels = [label for label in subjects if label != TEXT_ONLY or stage != "train"]
        runs = {label: _run(stage, *subjects[label]) for label in labels}
        seconds = interleaved(runs, rounds, setting.device, report, stage, clock)
        peaks = {label: peak_bytes(run, setting.device) for label, run in runs.items()}
        for label in labels:
            figures = _figures(seconds, label, stage, promised, setting)
            memory = {"peak_bytes": peaks[label], "peak_ratio": peaks[label] / peaks[ENTRY_0]}
            found[label][stage] = figures | memory
        del runs
        gc.collect()
    weights = weight_bytes([lm, *(model for model, _ in subjects.values())])
    return {"schedules": found, "weights": weights, "rounds": rounds}


def _run(stage: str, model: Any, inputs: Mapping[str, Any]) -> Run:
    if stage == "train":
        return training_step(model, inputs)
    model.eval()
    if stage == "prefill":
        return prefill(model, inputs)
    step = decode(model, inputs)

    def steps() -> None:
        for _ in range(STEPS):
            step()

    return steps


def _figures(
    seconds: Mapping[str, list[float]], label: str, stage: str, promised: Mapping[str, Any], setting: Bench
) -> dict[str, Any]:
    repeats = STEPS if stage == "decode" else 1
    own = {name: value / repeats for name, value in spread(seconds[label]).items()}
    measured = ratios(seconds, label, ENTRY_0)
    paper = _paper(promised[label], stage) / _paper(promised[ENTRY_0], stage)
    figures: dict[str, Any] = {
        "seconds": own,
        "ratio": measured,
        "ledger_ratio": paper,
        "measured_over_ledger": share_of_saving(measured["median"], paper),
        "flops_per_second": _paper(promised[label], stage) / own["median"],
    }
    if stage == "train":
        figures["samples_per_second"] = setting.batch / own["median"]
    return figures


def _paper(row: Mapping[str, Any], stage: str) -> float:
    """What the ledger says of a stage, the encoder included where it runs."""
    return row[stage] + (row["encoder"] if stage != "decode" else 0)
