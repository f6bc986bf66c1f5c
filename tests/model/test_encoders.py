"""Frozen encoders: which tokens and levels come out, compared with the encoder's own outputs by hand."""

from typing import Any

import pytest
import torch
from transformers import AutoModel, CLIPConfig, PreTrainedModel, SiglipConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import cases
from midstream.encoders import FeatureSpec, FrozenEncoder, load_encoder
from midstream.errors import InputError
from midstream.testing import ENCODER_FAMILIES, tiny_encoder

PATCHES = 4
LEADING = {"vit": 1, "dinov2": 1, "dinov2_with_registers": 5, "clip_vision_model": 1, "siglip_vision_model": 0}
FINAL_NORM = {
    "vit": "layernorm",
    "dinov2": "layernorm",
    "dinov2_with_registers": "layernorm",
    "clip_vision_model": "post_layernorm",
    "siglip_vision_model": "post_layernorm",
}


def _tiny(family: str) -> PreTrainedModel:
    if family in ENCODER_FAMILIES:
        return cases.sharpened(tiny_encoder(family))
    sizes = tiny_encoder("vit").config.to_dict()
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = CONFIG_MAPPING[family](**{key: sizes[key] for key in keys}, num_register_tokens=4)
        return cases.sharpened(AutoModel.from_config(config).eval())


def _pixels(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16)


def _inner(model: PreTrainedModel) -> Any:
    return getattr(model, "vision_model", model)


@torch.no_grad()
@pytest.mark.parametrize("family", LEADING)
def test_patches_cls_and_all_are_the_encoders_own_tokens(family: str) -> None:
    model, pixels, leading = _tiny(family), _pixels(), LEADING[family]
    hidden = _inner(model)(pixel_values=pixels, output_hidden_states=True).hidden_states
    assert hidden[-2].shape[1] == leading + PATCHES
    layers = (-3, -2)

    def given(tokens: str) -> torch.Tensor:
        return FrozenEncoder(model, FeatureSpec(layers, tokens))(pixel_values=pixels)

    expected = torch.stack([hidden[layer] for layer in layers], dim=1)
    torch.testing.assert_close(given("all"), expected)
    torch.testing.assert_close(given("patches"), expected[:, :, leading:])
    assert given("patches").shape == (2, len(layers), PATCHES, 24)
    if leading:
        torch.testing.assert_close(given("cls"), expected[:, :, :1])
    else:
        with pytest.raises(InputError, match=r"no \[CLS\]"):
            given("cls")


@torch.no_grad()
@pytest.mark.parametrize("family", LEADING)
def test_the_last_level_is_the_encoders_own_output(family: str) -> None:
    model, pixels = _tiny(family), _pixels()
    expected = _inner(model)(pixel_values=pixels).last_hidden_state
    for layer in (-1, 4):
        features = FrozenEncoder(model, FeatureSpec((layer,), "all"))(pixel_values=pixels)
        torch.testing.assert_close(features[:, 0], expected)


@torch.no_grad()
@pytest.mark.parametrize("family", LEADING)
def test_norm_puts_every_level_through_the_final_norm_once(family: str) -> None:
    """eP-ALM's [CLS] of each block after the encoder's final LayerNorm; the last level is not normed twice."""
    model, pixels = _tiny(family), _pixels()
    norm = getattr(_inner(model), FINAL_NORM[family])
    torch.nn.init.normal_(norm.weight)  # or else a second norm would go unnoticed
    torch.nn.init.normal_(norm.bias)
    before: list[torch.Tensor] = []
    last = _blocks(model)[-1].register_forward_hook(
        lambda module, args, output: before.append(output[0] if isinstance(output, tuple) else output)
    )
    hidden = _inner(model)(pixel_values=pixels, output_hidden_states=True).hidden_states
    last.remove()
    expected = torch.stack([norm(hidden[1]), norm(hidden[3]), norm(before[0])], dim=1)
    features = FrozenEncoder(model, FeatureSpec((1, 3, -1), "all", norm=True))(pixel_values=pixels)
    torch.testing.assert_close(features, expected)
    bare = FrozenEncoder(model, FeatureSpec((1, 3, -1), "all"))(pixel_values=pixels)
    assert not torch.allclose(bare[:, :2], expected[:, :2]), "the control: without norm they differ"


def _blocks(model: PreTrainedModel) -> torch.nn.ModuleList:
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "config"), [("clip_vision_model", CLIPConfig), ("siglip_vision_model", SiglipConfig)]
)
def test_a_two_tower_model_gives_its_vision_tower(family: str, config: Any) -> None:
    text = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    vision = _tiny(family).config.to_dict()
    whole = AutoModel.from_config(config(text_config=text, vision_config=vision, projection_dim=16)).eval()
    pixels, spec = _pixels(), FeatureSpec((-2,), "patches")
    encoder = FrozenEncoder(whole, spec)
    torch.testing.assert_close(
        encoder(pixel_values=pixels), FrozenEncoder(whole.vision_model, spec)(pixel_values=pixels)
    )
    assert not any("text" in name for name, _ in encoder.named_parameters())


@pytest.mark.parametrize("family", ENCODER_FAMILIES)
def test_frozen_means_no_gradient_and_no_training_mode(family: str) -> None:
    encoder = FrozenEncoder(_tiny(family).train(), FeatureSpec())
    assert not encoder.training
    assert not encoder.model.training
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(pixel_values=_pixels().requires_grad_()).requires_grad


@torch.no_grad()
def test_media_take_the_encoders_precision() -> None:
    encoder = FrozenEncoder(_tiny("vit").to(torch.bfloat16), FeatureSpec())
    assert encoder(pixel_values=_pixels()).dtype == torch.bfloat16


@pytest.mark.parametrize("layer", [5, -6, 99])
def test_layers_that_do_not_exist_are_refused(layer: int) -> None:
    with pytest.raises(InputError, match=rf"names {layer}, but ViTModel has hidden states -5..4"):
        FrozenEncoder(_tiny("vit"), FeatureSpec((layer,)))


def test_wrong_features_are_refused() -> None:
    with pytest.raises(InputError, match="choose patches, cls or all"):
        FeatureSpec(tokens="patch")
    with pytest.raises(InputError, match="empty"):
        FeatureSpec(layers=())
    with pytest.raises(InputError, match="token"):
        FeatureSpec.make({"token": "cls"})
    assert FeatureSpec.make(FeatureSpec((-2, -1), "cls", True).to_dict()) == FeatureSpec((-2, -1), "cls", True)


def test_an_encoder_that_is_not_there_is_one_sentence(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"cannot be loaded: .*; give a local folder, or a hub id"):
        load_encoder(tmp_path / "nothing", FeatureSpec())


@torch.no_grad()
def test_pooling_is_the_mean_of_neighbours() -> None:
    model, pixels = _tiny("vit"), _pixels()
    whole = FrozenEncoder(model, FeatureSpec((-2, -1)))(pixel_values=pixels)
    pairs = FrozenEncoder(model, FeatureSpec((-2, -1), pool=2))(pixel_values=pixels)
    expected = torch.stack([whole[:, :, 0:2].mean(2), whole[:, :, 2:4].mean(2)], dim=2)
    torch.testing.assert_close(pairs, expected)
    assert not torch.allclose(pairs[:, :, 0], whole[:, :, 0])  # the control: it is no thinning
    with pytest.raises(InputError, match=r"features.pool is 3, but 4 features do not divide"):
        FrozenEncoder(model, FeatureSpec(pool=3))(pixel_values=pixels)
    with pytest.raises(InputError, match=r"features.pool is 0; it must be at least 1"):
        FeatureSpec(pool=0)


@torch.no_grad()
def test_noise_has_the_shape_of_features_and_tells_nothing_of_them() -> None:
    model, pixels = _tiny("vit"), _pixels(16)
    real = FrozenEncoder(model, FeatureSpec((-2, -1)))(pixel_values=pixels)
    encoder = FrozenEncoder(model, FeatureSpec((-2, -1), noise=True))
    noise = encoder(pixel_values=pixels)
    assert noise.shape == real.shape and torch.equal(noise, encoder(pixel_values=pixels))
    assert len({float(item.sum()) for item in noise}) == 16  # each item its own

    def likeness(features: torch.Tensor) -> float:
        centred = features.flatten(1) - features.flatten(1).mean(0)
        other = real.flatten(1) - real.flatten(1).mean(0)
        return float(torch.nn.functional.cosine_similarity(centred, other).mean())

    assert abs(likeness(noise)) < 0.3 < likeness(real)  # the control: features are like themselves
