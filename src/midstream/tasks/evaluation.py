"""Evaluation beside its controls. Owns greedy answering in batches and the table of results; scores live in `metrics`.

accuracy    the trained model
ceiling     the language model alone, told in words what the picture shows   (more cannot be expected of eyes)
blind       no picture                                                       (what the question gives away)
shuffled    another row's picture                                            (what any picture gives away)
untrained   the same model with fresh connectors                             (what the training added)

A row whose media cannot be read is left out of all of them, counted and told; it is never replaced by another.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from midstream.data.rows import Row
from midstream.errors import InputError
from midstream.modality import LoadedModality, Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.progress import Report, silent
from midstream.provenance import provenance
from midstream.tasks.metrics import METRICS
from midstream.tasks.questions import Question, blind, data_hash, described, questions_of, shuffled

REASONS = 5
"""Of how many bad rows the reasons are told."""


def evaluate(
    model: MidstreamForCausalLM,
    processor: MidstreamProcessor,
    rows: Sequence[Row],
    *,
    metric: str = "exact",
    history: bool = False,
    batch_size: int = 64,
    max_new_tokens: int = 16,
    seed: int = 0,
    controls: bool = True,
    detailed: bool = False,
    report: Report = silent,
    **facts: Any,
) -> dict[str, Any]:
    """Ask every question of the rows and score the answers.

    Args:
        model: see `midstream.modeling`; it is left as it was.
        processor: the model's.
        rows: see `midstream.data.rows`.
        metric: `exact`, `vqa` or `f1`.
        history: whether later questions see the turns before them.
        batch_size: prompts that are answered together, padded on the left.
        max_new_tokens: longest answer.
        seed: of the exchange of pictures and of the fresh connectors.
        controls: measure ceiling, blind, shuffled and untrained too.
        detailed: tell the score of every single question as well.
        report: told how many answers are there.
        facts: added to the provenance.

    Returns:
        accuracy, by_type, ceiling, blind, shuffled, untrained (each 0..1, None where it cannot be had) over the `n`
        questions of the rows that could be used; `bad`, how many rows could not, and `reasons`, why the first of them
        could not; metric, provenance. If `detailed`, also `scores`, for each condition those of the questions in
        order, and `asked`, the row number and the kind of each.

    Raises:
        InputError: no rows, none that can be used, or an unknown metric.
    """
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    asked, bad = _asked(rows, history)
    if not asked and not bad:
        raise InputError("there is nothing to evaluate: the data have no rows")
    done, total = 0, len(asked) * (4 if controls else 1)

    def scores(name: str, questions: Sequence[Question]) -> list[float | InputError]:
        nonlocal done
        found: list[float | InputError] = []
        for start in range(0, len(questions), batch_size):
            part = questions[start : start + batch_size]
            answers = _answers(model, processor, part, max_new_tokens)
            found += [
                said if isinstance(said, InputError) else METRICS[metric](said, question.references)
                for said, question in zip(answers, part, strict=True)
            ]
            done += len(part)
            report("evaluating", done, total, name)
        return found

    def sure(name: str, questions: Sequence[Question]) -> list[float]:
        found = scores(name, questions)
        for score in found:
            if isinstance(score, InputError):  # these media were read a moment ago
                raise score
        return [float(score) for score in found if not isinstance(score, InputError)]

    first = scores("accuracy", [question.question for question in asked])
    for question, score in zip(asked, first, strict=True):
        if isinstance(score, InputError):
            bad.setdefault(question.row, f"{question.name}: {score}")
    good = [(q.question, s) for q, s in zip(asked, first, strict=True) if q.row not in bad]
    if not good:
        raise InputError(f"none of the {len(bad):,} rows can be used; the first: {next(iter(bad.values()))}")
    questions = [question for question, _ in good]
    by_condition = {"accuracy": [score for _, score in good if not isinstance(score, InputError)]}
    result: dict[str, Any] = {"accuracy": _mean(by_condition["accuracy"])}
    result["by_type"] = _by_type(questions, by_condition["accuracy"])
    if controls:
        conditions = _controls(questions, seed)
        total = len(asked) + len(questions) * (len(conditions) + 1)
        by_condition |= {name: sure(name, batch) for name, batch in conditions.items()}
        with untrained(model, seed):
            by_condition["untrained"] = sure("untrained", questions)
    result |= {name: _mean(by_condition.get(name)) for name in ("ceiling", "blind", "shuffled", "untrained")}
    facts = {"seed": seed, "data_hash": data_hash(questions), **facts}
    result |= {"n": len(questions), "bad": len(bad), "reasons": [bad[row] for row in sorted(bad)[:REASONS]]}
    if detailed:
        result["asked"] = [(question.row, question.question.kind) for question in asked if question.row not in bad]
        result["scores"] = by_condition
    return result | {"metric": metric, "provenance": provenance(**facts)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, and the row that it comes from."""

    question: Question
    row: int
    name: str


def _asked(rows: Sequence[Row], history: bool) -> tuple[list[_Asked], dict[int, str]]:
    """The questions of the rows, and for each row that cannot be made the reason."""
    asked: list[_Asked] = []
    bad: dict[int, str] = {}
    for index in range(len(rows)):
        try:
            row = rows[index]
        except InputError as error:
            bad[index] = str(error)
            continue
        name = str(row.get("id", f"row {index}"))
        asked += [_Asked(question, index, name) for question in questions_of(row, history)]
    return asked, bad


def _answers(
    model: MidstreamForCausalLM, processor: MidstreamProcessor, questions: Sequence[Question], max_new_tokens: int
) -> list[str | InputError]:
    """Answers of a batch; where one of its media cannot be read, of its questions one by one."""
    try:
        return [*answer(model, processor, [question.messages for question in questions], max_new_tokens)]
    except InputError as error:
        if len(questions) == 1:
            return [error]
    return [_answers(model, processor, [question], max_new_tokens)[0] for question in questions]


def _controls(questions: list[Question], seed: int) -> dict[str, list[Question]]:
    conditions = {"blind": [blind(question) for question in questions]}
    if all(question.description is not None for question in questions):
        conditions["ceiling"] = [described(question) for question in questions]
    exchanged = shuffled(questions, seed)
    return conditions if exchanged is None else conditions | {"shuffled": exchanged}


def _mean(scores: Sequence[float] | None) -> float | None:
    return round(sum(scores) / len(scores), 4) if scores else None


def _by_type(questions: Sequence[Question], scores: Sequence[float]) -> dict[str, float | None]:
    kinds: dict[str, list[float]] = {}
    for question, score in zip(questions, scores, strict=True):
        kinds.setdefault(question.kind, []).append(score)
    return {kind: _mean(kinds[kind]) for kind in sorted(kinds)}


def answer(
    model: MidstreamForCausalLM, processor: MidstreamProcessor, prompts: Sequence[Sequence[Any]], max_new_tokens: int
) -> list[str]:
    """Greedy answers to conversations, in one batch.

    Args:
        prompts: conversations that end with a user turn.

    Raises:
        InputError: media and slots do not match, or a file cannot be read.
    """
    batch = processor.apply_chat_template([list(prompt) for prompt in prompts], add_generation_prompt=True)
    assert not isinstance(batch, str)
    inputs = {key: value.to(model.device) for key, value in batch.items()}
    ids = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    new = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.tokenizer.batch_decode(new, skip_special_tokens=True)]


@contextmanager
def untrained(model: MidstreamForCausalLM, seed: int = 0) -> Iterator[None]:
    """The model with freshly initialised connectors, for the length of a `with` block."""
    trained = {name: tensor.detach().clone() for name, tensor in model.trained_tensors().items()}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, part in model.modalities.items():
            assert isinstance(part, LoadedModality)
            settings = model.config.modalities[name]
            encoder = part.encoder.model if part.encoder is not None else None
            fresh = Modality.from_dict(settings, encoder).build(name, model.engine.anatomy)
            part.connector.load_state_dict(fresh.connector.state_dict())
    try:
        yield
    finally:
        model.load_trained(trained, "the trained connectors")
