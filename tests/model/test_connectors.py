"""Connectors: shapes, sharing between levels, and refusals."""

from typing import Any

import pytest
import torch
from torch import nn

from midstream.connectors import CONNECTORS, SoftPrompt, build_connector
from midstream.errors import InputError

N, P, E, D = 3, 5, 12, 16
WIDTHS = {"encoder_width": E, "lm_width": D}


def _features(levels: int) -> torch.Tensor:
    return torch.randn(N, levels, P, E)


@pytest.mark.parametrize(
    ("settings", "levels", "shape"),
    [
        ({"kind": "linear"}, 1, (N, 1, P, D)),
        ({"kind": "linear"}, 3, (N, 3, P, D)),
        ({"kind": "linear", "per_level": True}, 3, (N, 3, P, D)),
        ({"kind": "linear", "times": P}, 2, (N, 2, P, D)),
        ({"kind": "mlp"}, 2, (N, 2, P, D)),
        ({"kind": "mlp", "hidden": 40, "norm": False}, 1, (N, 1, P, D)),
        ({"kind": "resampler", "queries": 7}, 1, (N, 1, 7, D)),
        ({"kind": "resampler", "queries": 7}, 3, (N, 1, 7, D)),
        ({"kind": "resampler", "queries": 2, "depth": 1, "heads": 2, "hidden": 6}, 1, (N, 1, 2, D)),
    ],
)
def test_shapes_and_gradients(settings: dict[str, Any], levels: int, shape: tuple[int, ...]) -> None:
    connector = build_connector(settings, **WIDTHS, levels=levels)
    tokens = connector(_features(levels))
    assert tokens.shape == shape
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert all(parameter.grad is not None for parameter in connector.parameters())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["linear", "mlp", "resampler"])
def test_each_item_is_connected_by_itself(kind: str) -> None:
    connector, features = build_connector({"kind": kind}, **WIDTHS, levels=1), _features(1)
    torch.testing.assert_close(connector(features)[1:2], connector(features[1:2]))


@torch.no_grad()
def test_a_shared_map_treats_levels_alike_and_one_per_level_does_not() -> None:
    features = _features(1).expand(-1, 2, -1, -1)
    shared = build_connector({"kind": "linear"}, **WIDTHS, levels=2)
    own = build_connector({"kind": "linear", "per_level": True}, **WIDTHS, levels=2)
    assert torch.equal(shared(features)[:, 0], shared(features)[:, 1])
    assert not torch.allclose(own(features)[:, 0], own(features)[:, 1])
    assert sum(p.numel() for p in own.parameters()) == 2 * sum(p.numel() for p in shared.parameters())
    torch.testing.assert_close(own(features)[:, 1], own.maps[1](features[:, 1]))


def test_an_identity_has_nothing_to_learn_and_wants_equal_widths() -> None:
    features = _features(2)
    same = build_connector({"kind": "identity"}, encoder_width=E, lm_width=E, levels=2)
    assert torch.equal(same(features), features) and not list(same.parameters())
    with pytest.raises(InputError, match="the encoder's is 12 and the language model's 16; choose a linear"):
        build_connector({"kind": "identity"}, **WIDTHS)


@torch.no_grad()
def test_times_tell_steps_apart_and_nothing_else_does() -> None:
    one = torch.randn(N, 1, 1, E).expand(-1, -1, 6, -1)  # six alike features: two of each of three steps
    timed = build_connector({"kind": "linear", "times": 3}, **WIDTHS)
    tokens = timed(one)
    assert torch.equal(tokens[:, :, 0], tokens[:, :, 1]) and not torch.allclose(tokens[:, :, 1], tokens[:, :, 2])
    plain = build_connector({"kind": "linear"}, **WIDTHS)(one)  # the control
    assert torch.equal(plain[:, :, 1], plain[:, :, 2])
    with pytest.raises(InputError, match="times is 3, but 5 features"):
        timed(_features(1))


@torch.no_grad()
def test_the_mlp_without_norm_is_llavas_projector() -> None:
    connector, features = build_connector({"kind": "mlp", "norm": False}, **WIDTHS, levels=1), _features(1)
    first, second = connector.net[1], connector.net[3]
    torch.testing.assert_close(connector(features), second(nn.functional.gelu(first(features))))


@torch.no_grad()
def test_a_resampler_reads_every_feature() -> None:
    connector = build_connector({"kind": "resampler"}, **WIDTHS, levels=1).double()
    features = _features(1).double()
    tokens = connector(features)
    for index in range(P):
        changed = features.clone()
        changed[:, 0, index] = torch.randn(E)
        assert not torch.allclose(connector(changed), tokens)


def test_soft_prompts_are_the_same_for_every_row() -> None:
    prompt = build_connector({"kind": "soft_prompt", "tokens": 4}, lm_width=D)
    assert prompt(N).shape == (N, 1, 4, D)
    assert torch.equal(prompt(N)[0], prompt(N)[2])
    deep = build_connector({"kind": "soft_prompt", "tokens": 4, "hidden": 6}, lm_width=D)
    torch.testing.assert_close(deep(2)[1, 0], deep.net[2](deep.net[0](deep.table).tanh()))
    assert isinstance(deep, SoftPrompt)


@pytest.mark.parametrize(
    ("settings", "levels", "words"),
    [
        ({"kind": "conv"}, 1, "unknown connector kind 'conv'"),
        ({}, 1, "unknown connector kind None"),
        ({"kind": "linear", "queries": 3}, 1, "queries"),
        ({"kind": "mlp", "hiden": 3}, 1, "hiden"),
        ({"kind": "resampler", "heads": 3}, 1, "heads=3"),
        ({"kind": "soft_prompt"}, 1, "soft_prompt"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], levels: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_connector(settings, **WIDTHS, levels=levels)


def test_every_kind_is_tested_here() -> None:
    assert set(CONNECTORS) == {"identity", "linear", "mlp", "resampler", "soft_prompt"}
