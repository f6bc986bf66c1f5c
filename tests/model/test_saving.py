"""Saved and loaded, a model is the same; onto anything else it is refused, naming both; nothing is half-written."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

import cases
from midstream import checkpoint
from midstream.configuration import MidstreamConfig
from midstream.encoders import FeatureSpec
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, ep_alm, soft_prompt
from midstream.testing import tiny_encoder, tiny_lm


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `lm`, `vit` and others like them, as a hub would give."""
    folder = tmp_path_factory.mktemp("parts")
    cases.fresh_lm("llama").save_pretrained(folder / "lm")
    tiny_lm("llama", seed=8).save_pretrained(folder / "lm_other_weights")
    tiny_lm("opt").save_pretrained(folder / "lm_other_family")
    cases.sharpened(tiny_encoder("vit")).save_pretrained(folder / "vit")
    tiny_encoder("vit", seed=8).save_pretrained(folder / "vit_other_weights")
    tiny_encoder("clip_vision_model").save_pretrained(folder / "clip")
    return folder


def _made(parts: Path, case: str = "two") -> MidstreamForCausalLM:
    if case == "ep_alm":
        features = FeatureSpec((-2, -1), "cls", norm=True)
        image = Modality(parts / "vit", {"kind": "linear", "per_level": True}, ep_alm(2, 4, 2), features)
    else:
        image = Modality(parts / "vit", {"kind": "mlp", "hidden": 20}, deep_insert(3))
    prompt = Modality("soft_prompt", {"kind": "soft_prompt", "tokens": 3}, soft_prompt())
    return MidstreamForCausalLM.from_parts(parts / "lm", positions="compact", image=image, prompt=prompt)


def _logits(made: MidstreamForCausalLM) -> Tensor:
    with torch.no_grad():
        return made(**cases.collate(cases.ROWS, ["image"])).logits


@pytest.fixture
def saved(parts: Path, tmp_path: Path) -> Path:
    _made(parts).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("case", ["two", "ep_alm"])
def test_the_same_logits_under_another_seed(parts: Path, tmp_path: Path, case: str) -> None:
    made = _made(parts, case)
    made.save_pretrained(tmp_path / "model")
    torch.manual_seed(99)
    assert not torch.equal(_logits(_made(parts, case)), _logits(made)), "the control: seeds matter to fresh connectors"
    for load in (MidstreamForCausalLM.from_pretrained, AutoModelForCausalLM.from_pretrained):
        again = load(tmp_path / "model")
        assert isinstance(again, MidstreamForCausalLM)
        assert torch.equal(_logits(again), _logits(made))
        assert again.config.positions == "compact"
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice/model.safetensors").read_bytes() == (tmp_path / "model/model.safetensors").read_bytes()


def test_what_is_saved_is_small_and_only_the_connectors(parts: Path, saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    tensors = load_file(saved / "model.safetensors")
    assert all(name.split(".")[2] == "connector" for name in tensors)
    assert set(tensors) == set(_made(parts).trained_tensors())
    trained = sum(tensor.numel() for tensor in tensors.values())
    assert (saved / "model.safetensors").stat().st_size < 4 * trained + 4000
    assert isinstance(AutoConfig.from_pretrained(saved), MidstreamConfig)


def test_parts_may_have_moved_or_be_loaded_already(parts: Path, saved: Path) -> None:
    expected = _logits(MidstreamForCausalLM.from_pretrained(saved))
    lm, vit = cases.fresh_lm("llama"), cases.sharpened(tiny_encoder("vit"))
    assert torch.equal(_logits(MidstreamForCausalLM.from_pretrained(saved, lm=lm, encoders={"image": vit})), expected)
    half = MidstreamForCausalLM.from_pretrained(saved, dtype=torch.bfloat16)
    assert half.lm.dtype == torch.bfloat16
    assert torch.allclose(_logits(half).float(), expected, atol=0.3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lm": "lm_other_weights"}, ["language model", "lm'", "lm_other_weights' has other weights"]),
        ({"lm": "lm_other_family"}, ["lm'", "lm_other_family' has architecture OPTForCausalLM, not LlamaForCausalLM"]),
        ({"image": "vit_other_weights"}, ["image encoder", "vit'", "vit_other_weights' has other weights"]),
        ({"image": "clip"}, ["image encoder", "vit'", "clip' has architecture CLIPVisionModel, not ViTModel"]),
    ],
)
def test_other_parts_are_refused_naming_both(parts: Path, saved: Path, given: dict[str, str], words: list[str]) -> None:
    options: dict[str, Any] = {"lm": parts / given["lm"]} if "lm" in given else {}
    options |= {"encoders": {"image": parts / given["image"]}} if "image" in given else {}
    with pytest.raises(InputError) as refusal:
        MidstreamForCausalLM.from_pretrained(saved, **options)
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert len(str(refusal.value).splitlines()) == 1


def _at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            config = config[key]
        if value is None:
            config.pop(last)
        else:
            config[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _at("modalities/image/schedule", deep_insert(2).to_dict()),
            r"with image schedule .*3.*config says .*2",
        ),
        (_at("modalities/image/schedule/leave", 5), "trained with image schedule"),
        (_at("modalities/image/schedule/entr", 5), "entr"),
        (_at("modalities/image/schedule/enter", None), "enter"),
        (_at("modalities/image/features/layers", [-2]), "trained with image features"),
        (_at("positions", "merged"), "trained with positions compact, but its config says merged"),
        (_at("modalities/image/connector/hidden", 21), "does not fit its config"),
        (_at("modalities/image/connector/kind", "linear"), "hidden"),
        (_at("modalities/prompt", None), "does not fit its config"),
        (_at("lm_fingerprint", None), "sketch"),
        (_at("lm_fingerprint/sketch", {"x": [1.0]}), "other weights"),
        (_at("lm", "no/such/model"), "cannot be loaded"),
        (_at("model_type", "llama"), "not a Midstream model"),
    ],
)
def test_a_tampered_config_is_refused(saved: Path, change: Callable[[dict[str, Any]], None], words: str) -> None:
    config = json.loads((saved / "config.json").read_text())
    change(config)
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=words):
        MidstreamForCausalLM.from_pretrained(saved)


@pytest.mark.parametrize("part", range(10))
def test_truncated_weights_are_refused(saved: Path, part: int) -> None:
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[: len(data) * part // 10])
    with pytest.raises(InputError, match=r"damaged|holds no"):
        MidstreamForCausalLM.from_pretrained(saved)


def test_missing_files_and_pickles_are_refused(parts: Path, saved: Path) -> None:
    torch.save(_made(parts).trained_tensors(), saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        MidstreamForCausalLM.from_pretrained(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(InputError, match="no Midstream model"):
        MidstreamForCausalLM.from_pretrained(saved)
    with pytest.raises(InputError, match="no Midstream model"):
        MidstreamForCausalLM.from_pretrained(saved / "nothing")


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_everything_as_it_was(
    parts: Path, tmp_path: Path, existing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "deep" / "model"
    if existing:
        _made(parts).save_pretrained(target)
    before = _tree(tmp_path)

    def full(tensors: Any, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = _made(parts)
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match="No space left"):
        made.save_pretrained(target)
    assert _tree(tmp_path) == before
    assert list(tmp_path.rglob(".*")) == []
    monkeypatch.undo()
    made.save_pretrained(target)
    assert torch.equal(_logits(MidstreamForCausalLM.from_pretrained(target)), _logits(made))


def test_ctrl_c_while_saving_leaves_nothing(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _made(parts).save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        _made(parts).save_pretrained(tmp_path / "file" / "model")
