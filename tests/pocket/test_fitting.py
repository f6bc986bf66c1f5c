"""How encoders are pretrained: within a budget the loss falls, and a second course begins where the first one ended."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from midstream.pocket import fitting

# This module is itself a course: which of four numbers is the largest.
BATCH, UNIT = 64, "quadruples"
COURSE = sys.modules[__name__]


class Tagger(nn.Module):
    """A layer that Muon trains, one that AdamW does."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"layer": nn.Linear(4, width // 8), "out": nn.Linear(width // 8, 4)})

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.encoder["out"](torch.relu(self.encoder["layer"](numbers)))


def tagged_batch(bucket: str, index: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.randn(BATCH, 4, generator=torch.Generator().manual_seed(1000 * seed + index + 7 * len(bucket)))
    return numbers, numbers.argmax(1)


def loss_of(model: Tagger, numbers: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(numbers).float(), largest)


def tagging_accuracy(model: Tagger, bucket: str = "test", batches: int = 3) -> dict[str, float]:
    pairs = [tagged_batch(bucket, index) for index in range(batches)]
    return {
        "right": float(torch.cat([model(numbers).argmax(1) == largest for numbers, largest in pairs]).float().mean())
    }


def _trained(minutes: float, known: Path | None = None) -> tuple[Any, dict[str, Any], list[str]]:
    said: list[str] = []
    model, figures = fitting.pretrain(COURSE, minutes, 0, torch.device("cpu"), said.append, known, compiled=False)
    return model, figures, said


def test_a_budget_is_kept_and_something_is_learnt(tmp_path: Path) -> None:
    model, figures, said = _trained(0.05)
    assert figures["quadruples"] == BATCH * figures["steps"] and figures["minutes"] <= 0.2
    right = tagging_accuracy(model)["right"]
    assert right > 0.8 and tagging_accuracy(Tagger())["right"] < 0.7  # the control: untrained
    assert any("validation" in line for line in said) and not model.training
    save_file(model.encoder.state_dict(), tmp_path / "model.safetensors")
    again, after, _ = _trained(1e-6, tmp_path)  # a step or two, at a learning rate of a hundredth
    assert after["steps"] <= 2 and tagging_accuracy(again)["right"] > 0.8
    fresh, _, _ = _trained(1e-6)
    assert tagging_accuracy(fresh)["right"] < 0.7  # the control: that little time teaches little


def test_every_shipped_course_has_what_the_loop_asks_for() -> None:
    from importlib import import_module

    from midstream.pocket.pretrain import ENCODERS

    for part, (name, minutes) in ENCODERS.items():
        course = import_module(name)
        batch = course.tagged_batch("train", 0, 0, 4)
        loss = course.loss_of(course.Tagger(), *batch)
        assert loss.dim() == 0 and torch.isfinite(loss) and loss.requires_grad, part
        assert course.BATCH > 4 and course.UNIT and callable(course.save) and minutes > 0


def test_the_control_weights_of_something_else_are_not_taken(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        _trained(1e-6, tmp_path)
