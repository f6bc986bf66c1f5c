"""LMs that keep a state or pass layers by: what cannot be right is refused, beside what is right."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from midstream.compat.families import lively, tiny_config, tiny_model
from midstream.compat.scene import ROWS, Row, collate, join
from midstream.engine import Engine
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's models; what they warn of is not ours to fix
ALIKE = (Row((11, 25, 38, 47, 52), (2,), 1), Row((7, 45, 93, 21, 66), (4,), 2))
"""Two rows of one length that bring equally many tokens."""


def continued(model: MidstreamForCausalLM, rows: tuple[Row, ...]) -> torch.Tensor:
    """Logits of a second turn that brings what `rows` bring, after a first turn of text alone."""
    kept = model(input_ids=torch.full((len(rows), 3), 9), use_cache=True)
    inputs: dict[str, Any] = collate(rows)
    inputs["image_slots"] = torch.where(inputs["image_slots"] >= 0, inputs["image_slots"] + 3, -1)
    inputs["attention_mask"] = torch.cat([torch.ones(len(rows), 3, dtype=torch.long), inputs["attention_mask"]], dim=1)
    cache = model.engine.anatomy.cache_name
    assert cache is not None
    return model(**inputs, use_cache=True, **{cache: kept[cache]}).logits


@torch.no_grad()
@pytest.mark.parametrize("family", ["falcon_h1", "mamba2", "rwkv"])
def test_a_second_turn_is_what_one_pass_gives(family: str) -> None:
    model = join(tiny_model(family), 3)
    whole = tuple(Row((9, 9, 9, *row.ids), tuple(slot + 3 for slot in row.slots), row.seed) for row in ALIKE)
    expected = model(**collate(whole), use_cache=False).logits[:, 3:]
    assert torch.allclose(continued(model, ALIKE), expected, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("family", ["jamba", "mamba", "zamba"])
def test_a_second_turn_is_refused_where_layers_would_forget_the_first(family: str) -> None:
    """Transformers' scan for Mamba's first kind takes no state to begin from; the control: plain, it is wrong."""
    lm = tiny_model(family)
    with pytest.raises(InputError, match="forget what they have read when 9 columns"):
        continued(join(lm, 3), ALIKE)
    ids = torch.tensor([ALIKE[0].ids])
    kept = lm(input_ids=ids[:, :2], use_cache=True)
    cache = {name: kept[name] for name in ("past_key_values", "cache_params") if name in kept}
    late = lm(input_ids=ids[:, 2:], use_cache=True, **cache).logits
    assert not torch.allclose(late, lm(input_ids=ids, use_cache=False).logits[:, 2:], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("family", "right"), [("falcon_h1", False), ("mamba2", False), ("llama", True)])
def test_padding_behind_what_a_state_has_read_is_refused(family: str, right: bool) -> None:
    """The control: attention masks it, so there it is allowed."""
    model, unlike = join(tiny_model(family), 3), (ALIKE[0], Row((7, 45, 93, 21, 66)))
    if right:
        assert continued(model, unlike).isfinite().all()
        return
    with pytest.raises(InputError, match="continue rows that bring equally many tokens"):
        continued(model, unlike)


@torch.no_grad()
def test_padding_at_the_right_is_refused_where_a_state_is_kept() -> None:
    model = join(tiny_model("jamba"), 3)
    inputs = collate(ROWS, "right")
    assert model(**inputs, use_cache=False).logits.isfinite().all()
    with pytest.raises(InputError, match="pad on the left"):
        model(**inputs, use_cache=True)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "mamba", "rwkv", "xlstm"])
def test_a_cache_that_nobody_asked_for_knows_the_tokens_too(family: str) -> None:
    """With use_cache unsaid the LM makes one; going on from it must not forget what was on board."""
    model, cache = join(tiny_model(family), 3), ""
    cache = model.engine.anatomy.cache_name or cache
    whole, first = collate(ROWS[:1]), collate(ROWS[:1])
    for name in ("input_ids", "attention_mask"):
        first[name] = first[name][:, :-1]
    kept = model(**first)
    last = model(input_ids=whole["input_ids"][:, -1:], **{cache: kept[cache]}).logits
    assert torch.allclose(last[:, -1], model(**whole, use_cache=False).logits[:, -1], atol=1e-4)
    del first["image_slots"], first["image_features"]
    deaf = model(**first)
    assert not torch.allclose(
        model(input_ids=whole["input_ids"][:, -1:], **{cache: deaf[cache]}).logits, last, atol=1e-2
    )


def test_tokens_that_no_layer_reads_are_refused() -> None:
    config = tiny_config("nemotron_h")
    config.layers_block_type = ["linear_attention", "full_attention", "mlp"]
    lm = AutoModelForCausalLM.from_config(config)
    Engine(lm, {"image": deep_insert(1)}).detach()
    with pytest.raises(InputError, match="let them enter earlier"):
        Engine(lm, {"image": deep_insert(2)})


def test_nothing_joins_at_a_layer_that_is_passed_by() -> None:
    lm = tiny_model("mllama")
    Engine(lm, {"image": deep_insert(2)}).detach()
    with pytest.raises(InputError, match="choose layer 2"):
        Engine(lm, {"image": deep_insert(1)})


@torch.no_grad()
@pytest.mark.parametrize(("window", "right"), [(None, True), (8, False)])
def test_a_mask_of_another_kind_than_the_layer_says_is_noticed(window: int | None, right: bool) -> None:
    """MiniMax reads its full-attention layers through a window when its config names one."""
    config = tiny_config("minimax")
    config.sliding_window = window
    model = join(lively(AutoModelForCausalLM.from_config(config).eval()), 3)
    if right:
        assert model(**collate(ROWS), use_cache=False).logits.isfinite().all()
        return
    with pytest.raises(InputError, match="masks layer 4 otherwise"):
        model(**collate(ROWS), use_cache=False)
