"""Pretraining of the pocket language model: text only, a wall-clock budget, exact resume.

Owns the optimiser and the loop; the model is `lm_shape`'s, the loss `lm_loss`'s, what is read is `corpus`'s. Knows
nothing of pictures.

Two CPU cores that were busy with other work read 9,600 to 12,500 tokens a second (bf16 autocast, compiled).
Hidden matrices are trained by Muon, the rest by AdamW; the learning rate follows the clock: warm-up, constant, then
linear to zero at the end of the budget.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from midstream.pocket import lm_evaluation, prose
from midstream.pocket.corpus import STAGES, Corpus, tokenizer_texts
from midstream.pocket.lm_loss import ROW_TOKENS, weighted_loss
from midstream.pocket.lm_others import SLOW, deepened, habits_of, opt
from midstream.pocket.lm_shape import build_model
from midstream.pocket.muon import BatchedMuon
from midstream.pocket.sizes import WIDTH
from midstream.pocket.tokenizer import train_tokenizer
from midstream.pocket.widening import WORLDS, WideCorpus, new_words, widened_model, widened_tokenizer

ROWS: Final = 24
WARM_UP_STEPS: Final = 100
DECAY_FROM: Final = 0.35
MUON_LR: Final = 3e-3
ADAM_LR: Final = 3e-3
DEEPER: Final = 12
"""Layers of the deeper model."""
Course: TypeAlias = Literal["pocket", "opt", "deeper"]
GENTLE: Final = 0.6
"""Learning rates of the second course, as a share of the first one's: what is known is not to be unlearnt."""


@dataclass
class Budget:
    """A run's clock: ``spent`` of ``seconds`` are gone; what a resumed run spent before counts."""

    seconds: float
    spent: float = 0.0

    @property
    def progress(self) -> float:
        """Share of the budget that is gone, at most 1."""
        return min(1.0, self.spent / self.seconds)


class _Rows(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batches ``first``, ``first + 1``, ... of the corpus, made in a worker process ahead of the loop."""

    def __init__(self, corpus: Corpus, first: int) -> None:
        self._corpus = corpus
        self._first = first

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for index in itertools.count(self._first):
            ids, weights = self._corpus.batch(index, ROWS)
            yield torch.from_numpy(ids), torch.from_numpy(weights)


def _optimisers(model: Any, gentle: float) -> list[torch.optim.Optimizer]:
    names = habits_of(model).slow(model)
    slow = [p for name, p in model.named_parameters() if name in names]
    fast = {name: p for name, p in model.named_parameters() if name not in names}
    muon = BatchedMuon([p for name, p in fast.items() if p.ndim == 2 and "embed" not in name], lr=MUON_LR)
    others = [p for name, p in fast.items() if p.ndim != 2 or "embed" in name]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": slow, "lr": SLOW * ADAM_LR}]
    adam = torch.optim.AdamW(groups[: 1 + bool(slow)], lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    for optimiser in (muon, adam):
        for group in optimiser.param_groups:
            group["peak"] = group["lr"] * gentle
    return [muon, adam]


def _set_rate(optimisers: list[torch.optim.Optimizer], step: int, progress: float) -> float:
    scale = min(1.0, (step + 1) / WARM_UP_STEPS, max(0.0, (1 - progress) / (1 - DECAY_FROM)))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * scale
    return scale


def _save(folder: Path, model: Any, optimisers: list[torch.optim.Optimizer], step: int, spent: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimisers": [o.state_dict() for o in optimisers],
        "step": step,
        "spent": spent,
    }
    torch.save(state, folder / "state.tmp")
    (folder / "state.tmp").replace(folder / "state.pt")


def _begin(
    work: Path, course: Course, known: Path | None, paragraphs: list[str], seed: int, width: int
) -> tuple[Any, Any]:
    """Model and tokenizer at the start of a run, or of its resumption: a resumed model keeps the words it knows."""
    if (work / "state.pt").exists():
        latest = work / "latest"
        model = AutoModelForCausalLM.from_pretrained(latest, attn_implementation="eager")
        return model, PreTrainedTokenizerFast.from_pretrained(latest)
    if known is None:
        tokenizer = train_tokenizer(tokenizer_texts(paragraphs, seed))
        return build_model(tokenizer, width), tokenizer
    tokenizer = PreTrainedTokenizerFast.from_pretrained(known)
    if course == "opt":
        return opt(tokenizer), tokenizer
    if course == "deeper":
        return deepened(AutoModelForCausalLM.from_pretrained(known), DEEPER), tokenizer
    tokenizer, pieces = widened_tokenizer(tokenizer, new_words())
    model = widened_model(AutoModelForCausalLM.from_pretrained(known, attn_implementation="eager"), pieces)
    return model, tokenizer


def train(
    minutes: float,
    seed: int,
    device: torch.device,
    work: Path,
    say: Callable[[str], None],
    check_every: float = 300.0,
    known: Path | None = None,
    course: Course = "pocket",
    width: int = WIDTH,
    more_prose: Path | None = None,
) -> tuple[Any, Any, dict[str, Any]]:
    """Train, or go on training, the language model.

    Args:
        minutes: wall-clock budget of training, compiling excepted.
        seed: of initial weights and corpus.
        device: where to train.
        work: folder for the resumable state and the latest Hugging Face snapshot (``work/latest``).
        say: receives one line of progress at a time.
        check_every: seconds between validations, each followed by a save.
        known: folder of a model that goes on to the second course (`widening`); without it the first one begins.
        course: "opt" begins a model of OPT's shape with the tokenizer of `known`, "deeper" goes on with `known` made
            deeper; both read of pictures only, "deeper" what the first course ends with.
        width: of a model that is begun; one that goes on keeps its own.
        more_prose: folder of .txt files that are read beside the English at hand.

    Returns:
        the model, the tokenizer and figures about the run (steps, tokens, minutes, loss).
    """
    torch.manual_seed(seed)
    paragraphs = prose.paragraphs(more_prose)
    model, tokenizer = _begin(work, course, known, paragraphs, seed, width)
    model = model.to(device)
    optimisers = _optimisers(model, GENTLE if known and course != "opt" else 1.0)
    budget, step, skipped = Budget(60 * minutes), 0, STAGES[-1].first if course == "deeper" else 0
    if (work / "state.pt").exists():
        state = torch.load(work / "state.pt", map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        step, budget.spent = state["step"], state["spent"]
        say(f"resuming at step {step}, {budget.spent / 60:.1f} min spent")
    wide = known is not None and course == "pocket"
    corpus = (WideCorpus if wide else Corpus)(tokenizer, paragraphs, ROW_TOKENS, seed)
    loader = DataLoader(_Rows(corpus, skipped + step), batch_size=None, num_workers=1, prefetch_factor=16)
    loss_of = weighted_loss(model, device)
    worlds = ["", *(world.package for world in WORLDS)] if wide else [""]
    validation = {
        name: lm_evaluation.described_scenes("validation", 192 // len(worlds), 10, world=name) for name in worlds
    }
    first, checked, mean, began = step, budget.spent, 0.0, time.monotonic() - budget.spent
    for ids, weights in loader:
        if budget.progress >= 1:
            break
        scale = _set_rate(optimisers, step, budget.progress)
        loss = loss_of(ids.to(device), weights.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        habits_of(model).after_step(model)
        if step == first:
            began = time.monotonic() - budget.spent  # compiling does not count
        step += 1
        budget.spent = time.monotonic() - began
        mean = loss.item() if step == first + 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            rate = step * ROWS * ROW_TOKENS / max(1e-9, budget.spent)
            clock = f"{budget.spent / 60:.1f}/{minutes:g} min"
            say(f"step {step}  {clock}  loss {mean:.3f}  lr x{scale:.2f}  {rate:.0f} tokens/s")
        if budget.spent - checked > check_every or budget.progress >= 1:
            checked = budget.spent
            model.eval()
            for world, rows in validation.items():
                shares = lm_evaluation.teacher_forced(model, tokenizer, rows)
                say(f"validation {world} " + json.dumps({kind: round(share, 3) for kind, share in shares.items()}))
            model.train()
            _save(work, model, optimisers, step, budget.spent)
            model.save_pretrained(work / "latest")
            tokenizer.save_pretrained(work / "latest")
    model.eval()
    figures = {
        "steps": step,
        "tokens": step * ROWS * ROW_TOKENS,
        "minutes": round(budget.spent / 60, 1),
        "loss": round(mean, 4),
    }
    return model, tokenizer, figures
