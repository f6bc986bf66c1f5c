"""LoRA and IA3 inside the frozen LM: begin as the identity, train alone with the connectors, come back from disk."""

from pathlib import Path

import pytest
import torch

import cases
from midstream import MidstreamForCausalLM, Modality, deep_insert
from midstream.adapters import is_adapter
from midstream.errors import InputError
from midstream.stacking import stacked_config
from midstream.testing import LM_FAMILIES

pytest.importorskip("peft", reason="adapters need the extra `peft`")


def _made(family: str, **adapters: object) -> MidstreamForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = Modality(cases.encoder("vit"), "linear", deep_insert(3))
        return MidstreamForCausalLM.from_parts(cases.fresh_lm(family), adapters=adapters or None, image=image)


@pytest.mark.parametrize("kind", ["lora", "ia3"])
@pytest.mark.parametrize("family", LM_FAMILIES)
def test_identity_at_first_then_trained_and_saved(family: str, kind: str, tmp_path: Path) -> None:
    plain, adapted = _made(family), _made(family, kind=kind)
    adapted.load_state_dict(plain.trained_tensors(), strict=False)  # the same connectors
    inputs = cases.collate(cases.ROWS[:2], ["image"], side="right")
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    before = plain(**inputs).logits
    torch.testing.assert_close(adapted(**inputs).logits, before)
    names = set(adapted.trained_tensors())
    assert {name for name in names if is_adapter(name)} and set(plain.trained_tensors()) < names
    assert not any(f".{layer}." in name for name in names for layer in (0, 1, 2) if is_adapter(name))
    frozen = {name: value.clone() for name, value in adapted.named_parameters() if not value.requires_grad}
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # LoRA's first factor moves only once the second has
        optimiser.zero_grad()
        adapted(**inputs, labels=labels).loss.backward()
        optimiser.step()
    assert all(torch.equal(value, frozen[name]) for name, value in adapted.named_parameters() if name in frozen)
    after = adapted(**inputs).logits
    assert not torch.allclose(after, before, **cases.TOLERANCE)
    adapted.save_pretrained(tmp_path / "model")
    again = MidstreamForCausalLM.from_pretrained(
        tmp_path / "model", lm=cases.fresh_lm(family), encoders={"image": cases.encoder("vit")}
    )
    assert torch.equal(again(**inputs).logits, after)


def test_layers_and_modules_are_chosen() -> None:
    adapted = _made("llama", first=5, targets=["q_proj"], rank=2)
    names = [name for name in adapted.trained_tensors() if is_adapter(name)]
    assert len(names) == 2 and all(".5.self_attn.q_proj." in name for name in names)
    assert adapted.trained_tensors()[names[0]].shape[0] == 2


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adapters.first is 9, but the LM has layers 0\.\.5"):
        _made("llama", first=9)
    with pytest.raises(InputError, match=r"targets is \['query'\]; the layers' linear modules are down_proj"):
        _made("llama", targets=["query"])
    with pytest.raises(InputError, match=r"adapters.kind is 'dora'"):
        _made("llama", kind="dora")
    _made("llama", rank=2).save_pretrained(tmp_path / "adapted")
    _made("llama").save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="has trained adapters in the language model"):
        stacked_config([tmp_path / "adapted", _renamed(tmp_path / "plain")])


def _renamed(folder: Path) -> Path:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"image": {', '"other": {'))
    return folder
