"""Pocket models of other widths: built by the same scripts, read by the same grids, refused where they cannot be."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from midstream import pocket
from midstream.errors import InputError
from midstream.pocket import fitting, pretrain, prose
from midstream.pocket.lm_shape import LOOKS_BACK, build_model
from midstream.pocket.muon import BatchedMuon
from midstream.pocket.sizes import heads_of


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(pocket.lm_path())


def test_a_wider_language_model_looks_back_too_and_learns(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model = build_model(tokenizer, 192)
    assert (model.config.hidden_size, model.config.num_attention_heads) == (192, 6)
    ids = torch.randint(10, len(tokenizer), (1, 40))
    with torch.no_grad():
        seen = model.eval()(input_ids=ids, output_attentions=True).attentions
    for layer, distances in zip(seen, LOOKS_BACK, strict=False):
        found = [max(range(9), key=lambda back, h=head: float(h.diagonal(-back)[8:].mean())) for head in layer[0]]
        assert found[:4] == list(distances)
    assert seen[4][0].std(dim=0).max() < 0.1  # the control: above them, no head looks at one place
    with torch.device("meta"):
        large = build_model(tokenizer, 768)
    assert 50e6 < sum(p.numel() for p in large.parameters()) < 100e6


@pytest.mark.parametrize("part", pretrain.ENCODERS)
def test_an_encoder_of_another_width_learns_by_the_same_course(part: str) -> None:
    course = import_module(pretrain.ENCODERS[part][0])
    torch.manual_seed(0)
    model = course.Tagger(160)
    shapes = {parameter.shape[-1] for parameter in model.encoder.parameters()}
    assert 160 in shapes and 640 in shapes and 128 not in shapes
    batch = course.tagged_batch("train", 0, 0, size=4) if part != "series" else course.tagged_batch("train", 0, 0)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layer" in name]
    optimiser = BatchedMuon(matrices, lr=fitting.MUON_LR)
    losses = []
    for _ in range(4):
        loss = course.loss_of(model, *batch)
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("width", [0, 96, 200])
def test_a_width_that_cannot_be_built_is_refused(width: int, tokenizer: Any, capsys: Any) -> None:
    with pytest.raises(InputError, match=f"width is {width}; .* multiples of 32"):
        heads_of(width)
    with pytest.raises(InputError, match="multiples of 32"):
        build_model(tokenizer, width)
    assert pretrain.main(["encoder", "--width", str(width), "--out", "nowhere"]) == 2
    assert f"--width is {width}" in capsys.readouterr().err


def test_a_wider_model_never_replaces_the_shipped_one_nor_a_known_one(tmp_path: Path, capsys: Any) -> None:
    assert pretrain.main(["lm", "--width", "256"]) == 2
    assert "--out" in capsys.readouterr().err
    assert pretrain.main(["lm-deep", "--width", "256", "--out", str(tmp_path / "lm")]) == 2
    assert "leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_more_prose_is_read_from_a_folder(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "_sources", lambda: iter([Path(prose.__file__)]))  # the whole library takes seconds
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        prose.paragraphs(tmp_path)
    assert pretrain.main(["lm", "--prose", str(tmp_path), "--out", str(tmp_path / "lm")]) == 2
    assert "plain text" in capsys.readouterr().err
    told = "It was a bright cold day in a far away country, and all the clocks of the little town were silent."
    (tmp_path / "a.txt").write_text(f"{told}\n\nshort\n\n{told}\n")
    assert prose.paragraphs(tmp_path) == [*prose.paragraphs(), told]
