"""Evaluation beside its controls. Owns greedy answering in batches and the table of results; scores live in `metrics`.

accuracy    the trained model
ceiling     the language model alone, told in words what the picture shows   (more cannot be expected of eyes)
blind       no picture                                                       (what the question gives away)
shuffled    another row's picture                                            (what any picture gives away)
untrained   the same model with fresh connectors                             (what the training added)

A row whose media cannot be read is left out of all of them, counted and told; it is never replaced by another.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from midstream.tasks.metrics import METRICS, Metric, reported
from midstream.tasks.questions import Question, blind, data_hash, described, questions_of, shuffled
from midstream.tasks.sharing import in_shares, processes

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
        metric: one of `midstream.tasks.metrics.METRICS`; docs/evaluation.md explains them.
        history: whether later questions see the turns before them.
        batch_size: prompts that are answered together, padded on the left.
        max_new_tokens: longest answer.
        seed: of the exchange of pictures and of the fresh connectors.
        controls: measure ceiling, blind, shuffled and untrained too.
        detailed: tell the score of every single question as well.
        report: told how many answers are there.
        facts: added to the provenance.

    Returns:
        accuracy, by_type, ceiling, blind, shuffled, untrained (each by `metric`, 0..1 or to its `best`, None where it
        cannot be had) over the `n` questions of the rows that could be used; `metrics`, the model's score by every
        metric that is told with the chosen one; `bad`, how many rows could not be used, and `reasons`, why the first of
        them could not; metric, provenance. If `detailed`, also `scores`, for each condition those of the questions in
        order (of BLEU each as if it were alone), and `asked`, the row number and the kind of each.

    Started by `torchrun` or `accelerate launch`, every process calls this with the same arguments, answers its share of
    the questions, and returns the same result.

    Raises:
        InputError: no rows, none that can be used, or an unknown metric.
    """
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    asked, bad = _asked(rows, history)
    if not asked and not bad:
        raise InputError("there is nothing to evaluate: the data have no rows")
    ask = _Asking(model, processor, batch_size, max_new_tokens, report)
    ask.ahead = len(asked) * (4 if controls else 1)
    first = ask("accuracy", [question.question for question in asked])
    for question, said in zip(asked, first, strict=True):
        if isinstance(said, InputError):
            bad.setdefault(question.row, f"{question.name}: {said}")
    good = [(question, str(said)) for question, said in zip(asked, first, strict=True) if question.row not in bad]
    if not good:
        raise InputError(f"none of the {len(bad):,} rows can be used; the first: {next(iter(bad.values()))}")
    questions = [question.question for question, _ in good]
    answers = {"accuracy": [said for _, said in good]}
    if controls:
        conditions = _controls(questions, seed)
        ask.ahead = len(questions) * (len(conditions) + 1)
        answers |= {name: ask.sure(name, batch) for name, batch in conditions.items()}
        with untrained(model, seed):
            answers["untrained"] = ask.sure("untrained", questions)
    result = _scored(METRICS[metric], questions, answers, detailed)
    told = reported(metric, answers["accuracy"], [question.references for question in questions])
    result["metrics"] = {name: round(score, 4) for name, score in told.items()}
    if detailed:
        result["asked"] = [(question.row, question.question.kind) for question, _ in good]
    facts = {"seed": seed, "data_hash": data_hash(questions), **facts}
    result |= {"n": len(questions), "bad": len(bad), "reasons": [bad[row] for row in sorted(bad)[:REASONS]]}
    return result | {"metric": metric, "provenance": provenance(**facts)}


class _Asking:
    """Answers to many questions, in batches, shared by all processes; it tells how many answers this one has."""

    def __init__(
        self,
        model: MidstreamForCausalLM,
        processor: MidstreamProcessor,
        batch_size: int,
        max_new_tokens: int,
        report: Report,
    ) -> None:
        self._parts = (model, processor)
        self._batch_size, self._max_new_tokens = batch_size, max_new_tokens
        self._report = report if processes().is_main_process else silent
        self._done = 0
        self.ahead = 0
        """How many answers are still to come, all processes together."""

    def __call__(self, name: str, questions: Sequence[Question]) -> list[str | InputError]:
        """An answer to every question, or why it cannot be had; on every process all of them."""

        def share(mine: Sequence[Question]) -> list[str | InputError]:
            said: list[str | InputError] = []
            for start in range(0, len(mine), self._batch_size):
                batch = mine[start : start + self._batch_size]
                said += _answers(*self._parts, batch, self._max_new_tokens)
                share_of_all = len(said) * len(questions) // len(mine)
                self._report("evaluating", self._done + share_of_all, self._done + self.ahead, name)
            return said

        found = in_shares(questions, share)
        self._done += len(questions)
        self.ahead -= len(questions)
        return found

    def sure(self, name: str, questions: Sequence[Question]) -> list[str]:
        """Answers to questions whose media were read a moment ago."""
        found = self(name, questions)
        for said in found:
            if isinstance(said, InputError):
                raise said
        return [str(said) for said in found]


def _scored(
    metric: Metric, questions: Sequence[Question], answers: Mapping[str, Sequence[str]], detailed: bool
) -> dict[str, Any]:
    """The score of every condition, of every type of question, and on demand of every question."""
    references = [question.references for question in questions]
    added = {name: metric.contributions(said, references) for name, said in answers.items()}
    kinds: dict[str, list[Any]] = {}
    for question, contribution in zip(questions, added["accuracy"], strict=True):
        kinds.setdefault(question.kind, []).append(contribution)
    result: dict[str, Any] = {
        name: round(metric.total(added[name]), 4) if name in added else None
        for name in ("accuracy", "ceiling", "blind", "shuffled", "untrained")
    }
    result["by_type"] = {kind: round(metric.total(kinds[kind]), 4) for kind in sorted(kinds)}
    if detailed:
        result["scores"] = {name: [metric.total([one]) for one in each] for name, each in added.items()}
    return result


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
        use_cache=model.engine.can_cache,
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
