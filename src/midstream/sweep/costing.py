"""What a trained cell costs: on paper, by the ledger, and on the clock. Knows no scores."""

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch

from midstream.cost.comparison import LEARNED, entry_at_0, part_of
from midstream.cost.costs import Cost
from midstream.cost.ledger import Work, ledger
from midstream.cost.measure import timed
from midstream.cost.shapes import read_shape
from midstream.cost.sources import Source, on_meta, source_of
from midstream.cost.subjects import prefill
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.modeling import IGNORED, MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.recipe import Recipe
from midstream.tasks.questions import Question

SAMPLE = 16
"""Rows that are looked at for the length of texts, and asked when the clock runs."""
ROUNDS = 5


def text_lengths(recipe: Recipe, processor: MidstreamProcessor) -> tuple[int, int]:
    """Text tokens of a training row and how many of them are learnt, as means over the first few rows."""
    rows = open_rows(recipe.data, "train", SAMPLE)
    batch = processor.training_batch([rows[number] for number in range(min(SAMPLE, len(rows)))])
    text = int(batch["attention_mask"].sum()) / len(batch["labels"])
    learnt = int((batch["labels"] != IGNORED).sum()) / len(batch["labels"])
    return max(round(text), 1), max(min(round(learnt), round(text)), 1)


def on_paper(recipe: Recipe, texts: tuple[int, int]) -> dict[str, Any]:
    """Costs by the ledger: of one row's prefill, cache and next token, and of a training step; empty where it cannot
    tell, as for an encoder of the user's own.

    Args:
        texts: text tokens of a row, and how many of them are learnt.
    """
    try:
        source = source_of(recipe)
        own, _ = _cost(source, {name: sense.schedule for name, sense in source.senses.items()}, Work(text=texts[0]))
    except InputError:
        return {"text_tokens": texts[0]}
    step = Work(batch=recipe.training.batch_size, text=texts[0], targets=texts[1])
    schedules, first = {name: sense.schedule for name, sense in source.senses.items()}, entry_at_0(source.senses)
    base, _ = _cost(source, first, Work(text=texts[0]))
    trained, parts = _cost(source, schedules, step)
    trained_base, _ = _cost(source, first, step)
    learned = [name for name, sense in source.senses.items() if sense.connector.get("kind") == LEARNED]
    return {
        "text_tokens": texts[0],
        "layers": len(own.layers),
        "tokens": sum(part.tokens for name, part in parts.items() if name not in learned),
        "learned_tokens": sum(parts[name].tokens for name in learned),
        "prefill_flops": own.prefill,
        "encoder_flops": own.encoder,
        "decode_flops": own.decode,
        "kv_bytes": own.kv_bytes,
        "train_step_flops": trained.train,
        "prefill_of_entry_0": own.prefill / base.prefill,
        "kv_of_entry_0": own.kv_bytes / base.kv_bytes,
        "train_step_of_entry_0": trained.train / trained_base.train,
    }


def _cost(source: Source, schedules: Mapping[str, Any], work: Work) -> tuple[Cost, dict[str, Any]]:
    shape = read_shape(on_meta(source.lm))
    parts = {name: part_of(source.senses[name], schedule, shape) for name, schedule in schedules.items()}
    return ledger(shape, schedules, parts, work), parts


def on_the_clock(
    model: MidstreamForCausalLM, processor: MidstreamProcessor, questions: Sequence[Question]
) -> dict[str, Any]:
    """Milliseconds from a question to the first token of its answer, encoder included: the median of some rounds over a
    batch, divided by its size. On the CPU processor time, which leaves out what others run beside it. Nothing where no
    cache can be had, for the answer would have to be read anew for each of its tokens."""
    if not model.engine.can_cache:
        return {}
    batch = processor.apply_chat_template(
        [list(question.messages) for question in questions], add_generation_prompt=True
    )
    assert not isinstance(batch, str)
    run = prefill(model, {key: value.to(model.device) for key, value in batch.items()})
    on_cpu = model.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    with torch.no_grad():
        seconds = [timed(run, model.device.type, clock) for _ in range(ROUNDS + 1)][1:]
    name = f"processor time, {torch.get_num_threads()} threads" if on_cpu else "wall"
    return {"prefill_ms": 1000 * median(seconds) / len(questions), "clock": name}
