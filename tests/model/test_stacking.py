"""Models trained apart and stacked: each one's answers and those to text alone stay the same, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel

import cases
from midstream import MidstreamForCausalLM, MidstreamProcessor, Modality, deep_insert, pocket, soft_prompt, window
from midstream.errors import InputError
from midstream.stacking import stack, stacked_config, stacked_processor
from midstream.testing import LM_FAMILIES

SCHEDULES = {"image": deep_insert(2), "other": window(1, 4)}


def saved(folder: Path, lm: PreTrainedModel, name: str, modality: Modality | None = None, seed: int = 0) -> Path:
    """A model of one sense, as training would have left it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kind = "vit" if name == "image" else "dinov2"
        modality = modality or Modality(cases.encoder(kind), "linear", SCHEDULES.get(name, deep_insert(3)))
        made = MidstreamForCausalLM.from_parts(lm, **{name: modality})
        for tensor in made.trained_tensors().values():
            torch.nn.init.normal_(tensor.data)
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded encoders have no name to be found by; the saved config finds them here."""
    build = Modality.build

    def found(self: Modality, name: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.encoder, str) and self.encoder != "soft_prompt":
            self.encoder = cases.encoder("vit" if name == "image" else "dinov2")
        return build(self, name, *args, **kwargs)

    monkeypatch.setattr(Modality, "build", found)


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_answers_of_each_and_to_text_alone_stay_bit_for_bit(family: str, tmp_path: Path, whole: None) -> None:
    lm = cases.lm(family)
    paths = [saved(tmp_path / name, lm, name, seed=seed) for seed, name in enumerate(("image", "other"))]
    both = stack(paths, lm=lm)
    for path, name in zip(paths, ("image", "other"), strict=True):
        alone = MidstreamForCausalLM.from_pretrained(path, lm=lm)
        inputs = cases.collate(cases.ROWS, [name])
        with torch.no_grad():
            assert torch.equal(both(**inputs).logits, alone(**inputs).logits)
    text = cases.collate(cases.ROWS[2:3], [])
    with torch.no_grad():
        assert torch.equal(both(**text).logits, cases.plain_lm(family)(**text).logits)
        # The control: the same question with the other sense as well has another answer.
        rows = cases.ROWS[:1]
        one, two = cases.collate(rows, ["image"]), cases.collate(rows, ["image", "other"])
        assert not torch.allclose(both(**one).logits, both(**two).logits, **cases.TOLERANCE)


def test_a_stacked_model_is_saved_and_loaded_like_any_other(tmp_path: Path, whole: None) -> None:
    lm = cases.lm("llama")
    both = stack([saved(tmp_path / name, lm, name) for name in ("image", "other")], lm=lm)
    both.save_pretrained(tmp_path / "both")
    again = MidstreamForCausalLM.from_pretrained(tmp_path / "both", lm=lm)
    inputs = cases.collate(cases.ROWS[:2], ["image", "other"])
    with torch.no_grad():
        assert torch.equal(both(**inputs).logits, again(**inputs).logits)


def test_what_cannot_be_stacked_is_refused(tmp_path: Path) -> None:
    lm = cases.lm("llama")
    image, other = (saved(tmp_path / name, lm, name) for name in ("image", "other"))
    with pytest.raises(InputError, match="name two or more"):
        stacked_config([image])
    with pytest.raises(InputError, match="both have a modality called image"):
        stacked_config([image, saved(tmp_path / "again", lm, "image", seed=1)])
    with pytest.raises(InputError, match="not the same language model"):
        stacked_config([image, saved(tmp_path / "qwen", cases.lm("qwen2"), "other")])
    prompt = Modality("soft_prompt", {"kind": "soft_prompt", "tokens": 3}, soft_prompt())
    with pytest.raises(InputError, match="in front of every text"):
        stacked_config([image, saved(tmp_path / "prompt", lm, "prompt", prompt)])
    MidstreamForCausalLM.from_parts(lm, "compact", other=Modality(cases.encoder("dinov2"))).save_pretrained(
        tmp_path / "compact"
    )
    with pytest.raises(InputError, match=r"merged positions and .* compact"):
        stacked_config([image, tmp_path / "compact"])
    assert stacked_config([image, other]).modalities.keys() == {"image", "other"}


def test_processors_are_joined(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pocket.lm_path())
    plain = MidstreamProcessor.from_pretrained("pocket")
    renamed = MidstreamProcessor(tokenizer, {"photo": plain.processors["image"]})
    plain.save_pretrained(tmp_path / "a")
    renamed.save_pretrained(tmp_path / "b")
    joined = stacked_processor([tmp_path / "a", tmp_path / "b"])
    assert list(joined.processors) == ["image", "photo"]
