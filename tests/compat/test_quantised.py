"""Quantised caches and weights: they work where their package is installed (`pip install midstream[quant]`)."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, DynamicCache, PreTrainedModel, QuantizedCache

from midstream.compat.result import difference
from midstream.compat.scene import ROWS, collate, join
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.testing import tiny_lm

pytestmark = pytest.mark.filterwarnings("ignore")  # the packages' own


def lm() -> PreTrainedModel:
    """With heads as wide as the packages want them."""
    return tiny_lm("llama", hidden_size=128, num_attention_heads=2, head_dim=64)


@torch.no_grad()
def decoded(model: MidstreamForCausalLM, cache: Any) -> Tensor:
    """Logits of the last word of each row, the words before it on `cache`."""
    inputs = collate(ROWS)
    last, inputs["input_ids"] = inputs["input_ids"][:, -1:], inputs["input_ids"][:, :-1]
    mask, inputs["attention_mask"] = inputs["attention_mask"], inputs["attention_mask"][:, :-1]
    model(**inputs, past_key_values=cache, use_cache=True)
    return model(input_ids=last, attention_mask=mask, past_key_values=cache, use_cache=True).logits


def test_a_quantised_cache_keeps_the_tokens() -> None:
    """Near what a whole cache gives; the control: not the same, so it was quantised."""
    model = join(lm(), 3)
    config = model.config.get_text_config()
    whole = decoded(model, DynamicCache(config=config))
    assert 0 < difference(decoded(model, QuantizedCache("fp8", config)), whole) < 0.05
    settings: dict[str, Any] = {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}}
    told = model.generate(**collate(ROWS), max_new_tokens=4, min_new_tokens=4, do_sample=False, **settings)
    assert told.shape[1] == collate(ROWS)["input_ids"].shape[1] + 4


def test_a_quantised_cache_without_its_package_says_which() -> None:
    try:
        import optimum.quanto  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="optimum-quanto"):
            QuantizedCache("quanto", join(lm(), 3).config.get_text_config())


@pytest.mark.parametrize(("bits", "near"), [(8, 0.05), (4, 0.5)])
def test_quantised_weights_answer_and_train_or_say_that_they_cannot(bits: int, near: float, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    plain = lm()
    plain.save_pretrained(tmp_path)
    quantised = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}bit": True}), dtype=torch.float32
    )
    made, inputs = join(quantised, 3), collate(ROWS[:1])

    def gradient() -> float:
        made.train().zero_grad()
        made(**inputs, labels=inputs["input_ids"]).loss.backward()
        return float(sum(p.grad.abs().sum() for p in made.parameters() if p.grad is not None))

    assert gradient() > 0
    made.eval()
    with torch.no_grad():
        found, expected = (m(**collate(ROWS), use_cache=False).logits for m in (made, join(plain, 3)))
    assert 0 < difference(found[:, -1], expected[:, -1]) < near
    layer = quantised.model.layers[4].self_attn.q_proj.weight
    if getattr(getattr(layer, "quant_state", None), "packing_format_for_cpu", False):
        with pytest.raises(InputError, match="no gradient passes"):
            made.train()
    else:
        assert gradient() > 0
