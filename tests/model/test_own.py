"""Encoders of the user's own: known by name, prepared and encoded by their class, saved by name and options."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import cases
from midstream import MidstreamForCausalLM, MidstreamProcessor, Modality, deep_insert, pocket
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError
from midstream.own import OwnEncoder, load_plugin, make_own

PLUGIN = """
import numpy, torch
from midstream.own import OwnEncoder

class Grid(OwnEncoder):
    name = "{name}"

    def __init__(self, width=6, scale=1.0):
        super().__init__()
        self.width, self.scale = width, scale
        self.map = torch.nn.Linear(4, width)
        with torch.no_grad():
            self.map.weight.copy_(torch.arange(4.0 * width).reshape(width, 4).sin())
            self.map.bias.zero_()

    def preprocess(self, item):
        return torch.from_numpy(numpy.load(item)).float() * self.scale

    def forward(self, values):
        return self.map(values)
"""


@pytest.fixture
def grid(tmp_path: Path) -> str:
    """The name of an encoder from a plugin file; another one for each test."""
    name = f"grid_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name))
    assert load_plugin(tmp_path / f"{name}.py") == [name]
    return name


def _files(folder: Path) -> list[str]:
    paths = [folder / f"{number}.npy" for number in range(2)]
    for number, path in enumerate(paths):
        np.save(path, np.random.default_rng(number).standard_normal((5, 4)))
    return [str(path) for path in paths]


def test_from_files_to_an_answer_and_back_from_disk(grid: str, tmp_path: Path) -> None:
    modality = Modality(grid, "linear", deep_insert(3), options={"width": 7, "scale": 0.5})
    model = MidstreamForCausalLM.from_parts(cases.lm("llama"), terrain=modality)
    tokenizer = AutoTokenizer.from_pretrained(pocket.lm_path())
    opened = MidstreamProcessor.from_model(model, tokenizer)
    model.save_pretrained(tmp_path / "model")
    opened.save_pretrained(tmp_path / "model")
    again = MidstreamForCausalLM.from_pretrained(tmp_path / "model", lm=cases.lm("llama"))
    processor = MidstreamProcessor.from_pretrained(tmp_path / "model")
    inputs = processor(["<terrain> a", "b <terrain> c"], terrain=[[file] for file in _files(tmp_path)])
    assert inputs["terrain_values"].shape == (2, 1, 5, 4)
    inputs["input_ids"] %= 50  # the tiny LM has fewer words
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, again(**inputs).logits)
        other = inputs | {"terrain_values": inputs["terrain_values"] + 1}
        assert not torch.allclose(model(**other).logits, model(**inputs).logits)  # the control: it is looked at


def test_other_weights_are_refused(grid: str, tmp_path: Path) -> None:
    model = MidstreamForCausalLM.from_parts(cases.lm("llama"), terrain=Modality(grid, "linear", deep_insert(3)))
    model.save_pretrained(tmp_path / "model")
    changed = make_own(grid)
    assert changed is not None
    with torch.no_grad():
        next(changed.parameters()).add_(1)
    with pytest.raises(InputError, match="other weights"):
        MidstreamForCausalLM.from_pretrained(tmp_path / "model", lm=cases.lm("llama"), encoders={"terrain": changed})


def test_it_is_frozen_and_its_output_checked(grid: str) -> None:
    encoder = make_own(grid)
    assert encoder is not None
    frozen = FrozenEncoder(encoder, FeatureSpec())
    assert not any(parameter.requires_grad for parameter in frozen.parameters()) and not frozen.model.training
    assert frozen(values=torch.zeros(3, 5, 4)).shape == (3, 1, 5, 6)
    frozen.width = 8
    with pytest.raises(InputError, match=r"gave \(3, 1, 5, 6\); its forward must return \(N, P, 8\)"):
        frozen(values=torch.zeros(3, 5, 4))
    with pytest.raises(InputError, match="leave `features` out"):
        FrozenEncoder(encoder, FeatureSpec(layers=(0,)))


def test_bad_names_options_and_files(grid: str, tmp_path: Path) -> None:
    assert make_own("no-such-encoder") is None
    with pytest.raises(InputError, match="unexpected keyword argument 'depth'"):
        make_own(grid, {"depth": 3})
    with pytest.raises(InputError, match="two encoders are called"):
        type("Other", (OwnEncoder,), {"name": grid})
    for text, said in [("x = 1", "defines no encoder"), ("1 / 0", "ZeroDivisionError"), ("(", "SyntaxError")]:
        (tmp_path / "bad.py").write_text(text)
        with pytest.raises(InputError, match=said):
            load_plugin(tmp_path / "bad.py")
    with pytest.raises(InputError, match="there is no plugin file"):
        load_plugin(tmp_path / "nowhere.py")


def test_items_of_several_shapes_are_refused(grid: str, tmp_path: Path) -> None:
    model = MidstreamForCausalLM.from_parts(cases.lm("llama"), terrain=Modality(grid, "linear", deep_insert(3)))
    processor = MidstreamProcessor.from_model(model, AutoTokenizer.from_pretrained(pocket.lm_path()))
    first, second = _files(tmp_path)
    np.save(second, np.zeros((6, 4)))
    media: Any = [[first, second]]
    with pytest.raises(InputError, match="all items must have one shape"):
        processor(["<terrain> <terrain> what?"], terrain=media)
