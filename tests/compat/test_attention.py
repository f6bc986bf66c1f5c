"""The attention implementations of Transformers give the same, with tokens that join mid-depth."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from midstream.compat.families import tiny_model
from midstream.compat.scene import ROWS, collate, join
from midstream.engine.anatomy import Anatomy
from midstream.modeling import MidstreamForCausalLM

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's models; what they warn of is not ours to fix


def model(family: str, implementation: str) -> MidstreamForCausalLM:
    """Tokens enter at layer 3 of 6."""
    return join(tiny_model(family, attn_implementation=implementation), 3)


def answers(made: MidstreamForCausalLM) -> tuple[Tensor, Tensor]:
    """Logits of the text columns of a padded batch, and what is generated after them."""
    inputs = collate(ROWS)
    with torch.no_grad():
        logits = made(**inputs, use_cache=False).logits[inputs["attention_mask"].bool()]
    return logits, made.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)[:, -3:]


@pytest.mark.parametrize(
    "family", ["deepseek_v3", "gemma3_text", "gpt2", "llama", "llama4_text", "qwen3_next", "whisper"]
)
def test_sdpa_gives_what_eager_gives(family: str) -> None:
    (eager, told), (sdpa, said) = (answers(model(family, name)) for name in ("eager", "sdpa"))
    assert torch.allclose(eager, sdpa, atol=1e-4) and torch.equal(told, said)


@pytest.mark.slow  # each kernel that flex attention runs without a compiler takes its time
@pytest.mark.parametrize("family", ["gemma3_text", "opt"])
def test_flex_gives_what_eager_gives(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled: on a CPU that takes minutes for each length. The masks must be those of flex attention."""
    made, true = set(), Anatomy.masks

    def masks(self: Anatomy, *given: Any) -> dict[str, Any]:
        found = true(self, *given)
        made.add(type(found["attention_mask"]))
        return found

    eager, told = answers(model(family, "eager"))
    monkeypatch.setattr(Anatomy, "masks", masks)
    with torch.compiler.set_stance("force_eager"):
        flex, said = answers(model(family, "flex_attention"))
    assert made == {BlockMask}
    assert torch.allclose(eager, flex, atol=1e-4) and torch.equal(told, said)


def test_control_a_family_without_flex_attention_says_so() -> None:
    with pytest.raises(ValueError, match="does not support"):
        model("gpt2", "flex_attention")
