"""Parts that do not fit are refused when the model is built, with both numbers; parts that fit are described."""

from typing import Any

import pytest
import torch

import cases
from midstream.errors import InputError
from midstream.modality import Modality, load_lm
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, ep_alm, soft_prompt, window
from midstream.testing import tiny_encoder, tiny_lm


def _build(**settings: Any) -> MidstreamForCausalLM:
    parts: dict[str, Any] = {"encoder": cases.encoder("vit"), "connector": "linear", "schedule": deep_insert(2)}
    return MidstreamForCausalLM.from_parts(cases.lm("llama"), image=Modality(**(parts | settings)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": deep_insert(6)}, r"layer 6, but the LM has layers 0\.\.5"),
        ({"schedule": window(2, 7)}, "leaves at layer 7, but the LM has 6 layers"),
        ({"schedule": ep_alm(2, 4, 2)}, "writes 2 levels, but its linear connector gives 1; name as many"),
        (
            {"schedule": ep_alm(2, 4, 2), "connector": "resampler", "features": {"layers": [-2, -1]}},
            "gives 1; use a linear",
        ),
        ({"connector": "magic"}, "unknown connector kind 'magic'"),
        ({"connector": {"kind": "mlp", "depth": 3}}, "depth"),
        ({"features": {"layers": [9]}}, "names 9"),
        ({"features": {"tokens": "pixels"}}, "choose patches"),
    ],
)
def test_parts_that_do_not_fit(settings: dict[str, Any], words: str) -> None:
    hooks = _hooks(cases.lm("llama"))
    with pytest.raises(InputError, match=words):
        _build(**settings)
    assert _hooks(cases.lm("llama")) == hooks, "nothing stays attached to the LM"


def _hooks(lm: Any) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.modules())


def test_positions_are_one_of_three() -> None:
    with pytest.raises(InputError, match="merged"):
        MidstreamForCausalLM.from_parts(cases.lm("llama"), positions="both")


def test_an_lm_that_is_not_there_is_one_sentence(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"language model .* cannot be loaded: .*; give a local folder, or a hub id"):
        load_lm(tmp_path / "nothing")


def test_summary_counts_frozen_and_trained() -> None:
    lm, vit = tiny_lm("llama"), tiny_encoder("vit")
    made = MidstreamForCausalLM.from_parts(
        lm,
        image=Modality(vit, "linear", deep_insert(2)),
        prompt=Modality("soft_prompt", {"kind": "soft_prompt", "tokens": 3}, soft_prompt()),
    )
    count = {model: sum(p.numel() for p in model.parameters()) for model in (lm, vit)}
    assert made.trainable_summary() == [
        ("language model", count[lm], 0),
        ("image encoder", count[vit], 0),
        ("image connector", 0, 24 * 32 + 32),
        ("prompt connector", 0, 3 * 32),
    ]
    assert made.describe_schedules().splitlines() == [
        "layer   012345",
        "text    ######",
        "image   ..0###",
        "prompt  0#####",
    ]


def test_an_opt_with_a_narrow_embedding_takes_tokens_of_both_widths() -> None:
    """OPT-350M embeds into fewer dimensions than its layers have; what enters at layer 0 is as narrow."""
    lm = tiny_lm("opt", word_embed_proj_dim=20)
    for schedule, width in ((deep_insert(0), 20), (deep_insert(3), 32)):
        made = MidstreamForCausalLM.from_parts(lm, image=Modality(cases.encoder("vit"), "linear", schedule))
        assert made.modalities["image"].connector.maps[0].out_features == width
        inputs = cases.collate(cases.ROWS, ["image"])
        assert bool(made(**inputs).logits.isfinite().all())
        made.engine.detach()


def test_half_precision_parts_work_together() -> None:
    lm = cases.fresh_lm("llama").to(torch.bfloat16)
    made = MidstreamForCausalLM.from_parts(lm, image=Modality(tiny_encoder("vit"), "mlp", deep_insert(3)))
    inputs = cases.collate(cases.ROWS, ["image"])
    assert made(**inputs).logits.dtype == torch.bfloat16
    made(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert all(parameter.grad is not None for parameter in made.trained_tensors().values())
