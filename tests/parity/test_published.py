"""The published forwards of other projects give the same logits as their schedules here, in float32.

Each `.safetensors` holds logits that unmodified code of another project gave, on weights and inputs that this file
makes again from their names (`filled`, `picture`, `words`). `provenance.json` says which repository, commit, file and
versions, and with which settings; none of that code is part of this one. Rows are the text columns of the prompt and,
where the published code can decode, of two further columns that were read one by one on its cache.

What was found different, and what the settings below therefore say:

FastV       drops at the input of layer K by the attention of layer K - 1, as `fastv(K, ...)` does; position ids stay.
            Its first code is told a number of tokens; its later port rounds `tokens * fraction` half to even, here it
            is the floor (as in FastV's own evaluation harness, `int(576 * ratio)`). A fraction dropped there is 1 minus
            the fraction kept here. Its KV-cache variant is unfinished by its own notes: it chooses anew at each
            generated token, and all layers behind K read the keys of layer K. That is no semantics to follow.
VTW         withdraws at the input of layer K, positions stay (`pe_type="keep"`).
ShortV      freezes tokens in the layers listed; they stay in the residual stream. Its source knows one prompt alone, 35
            columns before the image, so that is the prompt here.
PyramidDrop ranks by queries and keys of the layer that drops, made of states before the drop: `by="preview"`, where
            FastV looks a layer back. It counts positions anew after each drop: `positions="shifted"`. Its ratios are of
            all tokens, here of those left. It assumes as many key heads as query heads.
eP-ALM      opens the mask of its token (`legacy=True`), and adds position embeddings to the text before the token
            joins: `positions="shifted"`. Layers that the levels do not divide go to the last level there; here they
            are spread evenly, and that case is written out.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

from midstream.engine import Cargo, Engine
from midstream.presets import ep_alm, fastv, pyramid_drop, shortv, vtw
from midstream.schedule import Schedule, Write

HERE = Path(__file__).parent
VOCABULARY, WIDTH, DEPTH, TOKENS = 40, 32, 6, 8
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
"""Logits are of order 5; anything out of place moves them by 0.1 and more."""

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA = SIZES | {"num_key_value_heads": 2, "intermediate_size": 48, "rms_norm_eps": 1e-6, "tie_word_embeddings": False}
OPT = SIZES | {"ffn_dim": 48, "word_embed_proj_dim": WIDTH, "dropout": 0.0}

UNEVEN = Schedule(1, None, tuple(Write(layer, level) for layer, level in enumerate((0, 0, 1, 1, 1), 1)), reach="all")

PUBLISHED: dict[tuple[str, str], Schedule] = {
    **{("fastv", f"drop_layer{k}_keep{n}"): fastv(k, n / TOKENS) for k in (2, 3) for n in (4, 2)},
    **{("fastv", f"mask_layer{k}_keep{n}"): fastv(k, n / TOKENS) for k in (2, 3) for n in (4, 2)},
    **{("fastv_hf", f"layer{k}_drop{r}"): fastv(k, 1 - r) for k in (2, 3) for r in (0.5, 0.75)},
    **{("fastv_hf", f"layer{k}_drop0.3"): fastv(k, 6 / TOKENS) for k in (2, 3)},  # 5.6 tokens, rounded
    **{("vtw", f"layer{k}"): vtw(k) for k in (1, 3, 5)},
    ("shortv", "layers134"): shortv((1, 3, 4)),
    ("shortv", "layers05"): shortv((0, 5)),
    ("pyramid_drop", "layers2_0.5"): pyramid_drop((2,), 0.5),
    ("pyramid_drop", "layers3_0.25"): pyramid_drop((3,), 0.25),
    ("pyramid_drop", "layers24_0.5"): pyramid_drop((2, 4), 0.5),
    ("pyramid_drop", "layers135_0.5"): pyramid_drop((1, 3, 5), 0.5),
    ("ep_alm", "layers2to4_levels1"): ep_alm(2, 4, 1, legacy=True),
    ("ep_alm", "layers2to4_levels3"): ep_alm(2, 4, 3, legacy=True),
    ("ep_alm", "layers1to4_levels2"): ep_alm(1, 4, 2, legacy=True),
    ("ep_alm", "layers1to5_levels2"): UNEVEN,
}
"""(system, tensor) -> the schedule that says the same."""

CONTROLS: dict[tuple[str, str], Schedule] = {
    ("fastv", "drop_layer2_keep4"): fastv(3, 0.5),  # another layer
    ("fastv", "drop_layer3_keep2"): fastv(3, 0.5),  # another fraction
    ("fastv", "mask_layer3_keep4"): fastv(3, 0.5, "preview"),  # the attention of layer K itself
    ("fastv_hf", "layer2_drop0.3"): fastv(2, 0.7),  # 5 tokens, not 6
    ("vtw", "layer3"): vtw(2),
    ("shortv", "layers134"): shortv((1, 3)),
    ("shortv", "layers05"): vtw(6),  # tokens that change everywhere
    ("pyramid_drop", "layers2_0.5"): pyramid_drop((2,), 0.5, "attention"),  # the attention of the layer before
    ("pyramid_drop", "layers24_0.5"): pyramid_drop((2, 5), 0.5),
    ("ep_alm", "layers2to4_levels3"): ep_alm(2, 4, 3),  # a mask that does not leak
    ("ep_alm", "layers1to5_levels2"): ep_alm(1, 5, 2, legacy=True),
}
"""Neighbours that must be told apart."""

IN_EACH_LAYER = ("pyramid_drop", "ep_alm")
"""Systems that count positions in each layer."""


def seeded(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


@torch.no_grad()
def filled(lm: PreTrainedModel) -> PreTrainedModel:
    """Weights that follow from the parameters' names, so that old and new versions of a model have the same."""
    for name, parameter in lm.named_parameters():
        noise = seeded(name, *parameter.shape)
        parameter.copy_(0.25 * noise if parameter.dim() > 1 else 0.2 * noise + (not name.endswith("bias")))
    return lm.eval()


def picture(levels: int, tokens: int) -> Tensor:
    """(levels, tokens, width)"""
    return seeded("image", levels, tokens, WIDTH)


def words(count: int) -> Tensor:
    """(1, count)"""
    return torch.randint(3, VOCABULARY, (1, count), generator=torch.Generator().manual_seed(7))


@torch.no_grad()
def ours(system: str, schedule: Schedule, columns: int) -> Tensor:
    """Logits of the text columns; all but those of eP-ALM and FastV's first code decode the last two on the cache."""
    alone = system in ("fastv", "ep_alm")
    if system == "ep_alm":
        lm, at, image = OPTForCausalLM(OPTConfig(**OPT)), 0, picture(schedule.levels, 1)
    else:
        heads = {"num_key_value_heads": 4} if system == "pyramid_drop" else {}
        lm, at, image = LlamaForCausalLM(LlamaConfig(**LLAMA | heads)), 35 if system == "shortv" else 4, picture(1, 8)
    engine = Engine(filled(lm), {"image": schedule}, "shifted" if system in IN_EACH_LAYER else "merged")
    text, first = words(columns), columns if alone else columns - 2
    load = Cargo(torch.tensor([[at]]), image[None, None])
    output = engine.run(lm, {"image": load}, input_ids=text[:, :first], use_cache=not alone)
    logits = [output.logits[0]]
    for column in range(first, columns):
        past = output.past_key_values
        output = engine.run(lm, {}, input_ids=text[:, column : column + 1], past_key_values=past, use_cache=True)
        logits.append(output.logits[0])
    return torch.cat(logits)


def theirs(system: str, name: str) -> Tensor:
    return load_file(HERE / f"{system}.safetensors")[name]


@pytest.mark.parametrize(("system", "name"), PUBLISHED)
def test_the_schedule_gives_the_published_logits(system: str, name: str) -> None:
    expected = theirs(system, name)
    assert torch.allclose(ours(system, PUBLISHED[system, name], len(expected)), expected, **TOLERANCE)


@pytest.mark.parametrize(("system", "name"), CONTROLS)
def test_control_a_neighbouring_schedule_does_not(system: str, name: str) -> None:
    expected = theirs(system, name)
    off = (ours(system, CONTROLS[system, name], len(expected)) - expected).abs()
    assert off.max() > 0.1


@pytest.mark.parametrize("system", IN_EACH_LAYER)
def test_control_the_rule_of_positions_matters(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_published.IN_EACH_LAYER", ())
    name = next(name for of, name in PUBLISHED if of == system)
    expected = theirs(system, name)
    assert (ours(system, PUBLISHED[system, name], len(expected)) - expected).abs().max() > 0.1


def test_every_stored_tensor_is_tested_and_has_a_source() -> None:
    said = json.loads((HERE / "provenance.json").read_text())
    stored = {(path.stem, name) for path in HERE.glob("*.safetensors") for name in load_file(path)}
    assert stored == set(PUBLISHED) == {(system, name) for system, one in said.items() for name in one["settings"]}
    assert all(len(one["commit"]) == 40 and one["repository"] and one["file"] for one in said.values())
