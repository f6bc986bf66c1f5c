"""The optimiser, the tags and the command of the pretraining (the training itself is not run here)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from midstream.pocket import pretrain
from midstream.pocket.encoder_training import GRID, PATCH, tagged_batch, tags
from midstream.pocket.muon import BatchedMuon, orthogonalise
from midstream.pocket.render import draw
from midstream.pocket.world import COLOURS, SHAPES, Thing, make_scene


def test_orthogonalise_flattens_singular_values() -> None:
    stack = torch.randn(3, 24, 40)
    for shape in (stack, stack.mT):
        values = torch.linalg.svdvals(orthogonalise(shape))
        assert values.min() > 0.5 and values.max() < 1.4
    assert torch.linalg.svdvals(stack).max() > 5  # control: it was not so before


def test_batched_muon_equals_torch_muon() -> None:
    start = [torch.randn(16, 16), torch.randn(16, 16), torch.randn(16, 40), torch.randn(40, 16)]
    ours, theirs = ([torch.nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    mine = BatchedMuon(ours, lr=0.01)
    reference = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for (
            a,
            b,
        ) in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        assert (a - b).norm() < 0.02 * (a - before).norm()
    with pytest.raises(ValueError, match="matrices only"):
        BatchedMuon([torch.zeros(3)], lr=0.1)


def test_tags_say_what_covers_a_patch_and_what_fills_a_cell() -> None:
    scene = make_scene([Thing("square", "blue", "large", "top-left"), Thing("ring", "red", "small", "bottom-right")])
    patches, cells = tags(scene, draw(scene, 0)[1])
    blue, red = (SHAPES.index("square") + 1, COLOURS.index("blue") + 1, 2), (SHAPES.index("ring") + 1, 1, 1)
    assert tuple(cells[0]) == blue and tuple(cells[8]) == red and not cells[1:8].any()
    grid = patches.reshape(GRID, GRID, 3)
    assert tuple(grid[1, 1]) == blue
    found = {tuple(patch) for patch in patches.tolist()}
    assert found == {(0, 0, 0), blue, red}
    assert not grid[: GRID // 2, GRID // 2 :].any()
    assert PATCH * GRID == 64


def test_tagged_batches_are_normalised_and_deterministic() -> None:
    one, again = tagged_batch("train", 0, 0, size=64), tagged_batch("train", 0, 0, size=64)
    assert torch.equal(one.pixels, again.pixels) and torch.equal(one.patches, again.patches)
    assert one.pixels.mean().abs() < 0.2 and abs(one.pixels.std().item() - 1) < 0.2
    assert 0.05 < np.mean(one.patches[..., 0].numpy() > 0) < 0.4


def test_the_command_refuses_a_senseless_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain.main(["lm", "--minutes", "0"]) == 2
    assert "must be above 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        pretrain.main(["poet"])
