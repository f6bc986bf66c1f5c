"""How well a pocket language model answers questions about *described* scenes: the ceiling for what eyes can add.

Two measures: teacher-forced (quick, for monitoring a run) and real greedy generation (what is reported). Knows nothing
of training.
"""

from __future__ import annotations

import random
from collections import defaultdict
from importlib import import_module
from typing import Any, NamedTuple

import torch

from midstream.pocket import language
from midstream.pocket.world import Bucket, sample_scene


class Asked(NamedTuple):
    """A described scene and questions about it."""

    description: str
    questions: list[language.Question]


def described_scenes(bucket: Bucket, scenes: int, questions: int, seed: int = 0, world: str = "") -> list[Asked]:
    """Scenes of a split with ``questions`` questions each and one ``describe`` question at the end.

    Args:
        world: a package of `midstream.pocket` with a world of its own; none is the world of pictures.
    """
    if world:
        words, sample = (import_module(f"midstream.pocket.{world}.{part}") for part in ("language", "world"))
        draw = sample.sample
    else:
        words, draw = language, sample_scene
    rows = []
    for index in range(scenes):
        rng = random.Random(f"described/{seed}/{bucket}/{index}")
        scene = draw(bucket, index, seed)
        asked = [*words.ask_many(scene, rng, questions), words.ask_describe(scene, rng)]
        rows.append(Asked(words.describe(scene, rng), asked))
    return rows


@torch.no_grad()
def teacher_forced(model: Any, tokenizer: Any, rows: list[Asked], batch: int = 64) -> dict[str, float]:
    """Share of answers whose every token (newline included) is the arg max, by kind and ``all``."""
    right: dict[str, list[float]] = defaultdict(list)
    for start in range(0, len(rows), batch):
        coded, spans = [], []
        for b, (description, questions) in enumerate(rows[start : start + batch]):
            ids = tokenizer.encode(description + "\n")
            for question in questions:
                ids += tokenizer.encode(f"Question: {question.text}\nAnswer:")
                answer = tokenizer.encode(f" {question.answer}\n")
                spans.append((b, question.kind, len(ids), len(ids) + len(answer)))
                ids += answer
            coded.append(torch.tensor(ids))
        ids_BT = torch.nn.utils.rnn.pad_sequence(coded, batch_first=True).to(model.device)
        guess_BT = model(input_ids=ids_BT, use_cache=False).logits.argmax(-1)
        hit_BT = (guess_BT[:, :-1] == ids_BT[:, 1:]).cpu()
        for b, kind, first, last in spans:
            right[kind].append(float(hit_BT[b, first - 1 : last - 1].all()))
    return _shares(right)


@torch.no_grad()
def generated(model: Any, tokenizer: Any, rows: list[Asked], batch: int = 128) -> dict[str, float]:
    """Exact match of greedy answers, each question asked alone after the description; by kind and ``all``."""
    work = [(row.description, question) for row in rows for question in row.questions]
    work.sort(key=lambda item: item[1].kind == language.DESCRIBE)  # long answers together
    right: dict[str, list[float]] = defaultdict(list)
    newline = tokenizer.encode("\n")[0]
    for start in range(0, len(work), batch):
        part = work[start : start + batch]
        prompts = [f"{description}\nQuestion: {question.text}\nAnswer:" for description, question in part]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
        longest = max(len(tokenizer.encode(f" {question.answer}\n")) for _, question in part)
        out = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=False,
            max_new_tokens=longest,
            eos_token_id=[newline, tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
        )
        said = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for (_, question), text in zip(part, said, strict=True):
            right[question.kind].append(float(text.split("\n")[0].strip() == question.answer))
    return _shares(right)


def _shares(right: dict[str, list[float]]) -> dict[str, float]:
    every = [hit for kind, hits in right.items() if kind != language.DESCRIBE for hit in hits]
    shares = {kind: sum(hits) / len(hits) for kind, hits in sorted(right.items())}
    return {"all": sum(every) / len(every), **shares}
