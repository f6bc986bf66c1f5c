"""Encoders of time series: the order of their tokens, their levels, and series through a whole model."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    PatchTSMixerConfig,
    PatchTSMixerModel,
    PatchTSTConfig,
    PatchTSTModel,
    PreTrainedModel,
)

from midstream import MidstreamForCausalLM, MidstreamProcessor, Modality, deep_insert, pocket
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError
from midstream.pocket.series import data, world
from midstream.pocket.series.render import render
from midstream.preparing import medium_of, open_preparer
from midstream.tasks.evaluation import answer
from midstream.testing import tiny_lm

CHANNELS, STEPS, PATCH, WIDTH, BLOCKS = 3, 24, 4, 16, 3
PATCHES = STEPS // PATCH


def patchtst() -> PreTrainedModel:
    config = PatchTSTConfig(
        num_input_channels=CHANNELS,
        context_length=STEPS,
        patch_length=PATCH,
        patch_stride=PATCH,
        d_model=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=2,
        ffn_dim=32,
        norm_type="layernorm",
        scaling=None,
    )
    return PatchTSTModel(config).eval()


def patchtsmixer() -> PreTrainedModel:
    config = PatchTSMixerConfig(
        num_input_channels=CHANNELS,
        context_length=STEPS,
        patch_length=PATCH,
        patch_stride=PATCH,
        d_model=WIDTH,
        num_layers=BLOCKS,
        scaling=None,
    )
    return PatchTSMixerModel(config).eval()


FAMILIES = pytest.mark.parametrize("make", [patchtst, patchtsmixer])
BLOCKS_OF: dict[type, Callable[[PreTrainedModel], nn.ModuleList]] = {
    PatchTSTModel: lambda model: model.encoder.layers,
    PatchTSMixerModel: lambda model: model.encoder.mlp_mixer_encoder.mixers,
}


@FAMILIES
def test_tokens_are_channel_after_channel_and_in_each_patch_after_patch(make: Callable[[], PreTrainedModel]) -> None:
    model = make()
    encoder = FrozenEncoder(model, FeatureSpec())
    series = torch.randn(2, STEPS, CHANNELS)
    features = encoder(past_values=series)
    assert features.shape == (2, 1, CHANNELS * PATCHES, WIDTH) and encoder.input_name == "past_values"
    other = series.clone()
    other[:, :, 1] += torch.randn(STEPS)
    changed = (encoder(past_values=other) != features).any(-1)[:, 0].unflatten(1, (CHANNELS, PATCHES))
    assert changed[:, 1].all() and not changed[:, [0, 2]].any()  # one channel changed, one block of tokens did


def test_one_step_of_time_reaches_its_own_patch_first() -> None:
    model = patchtst()
    series = torch.randn(1, STEPS, CHANNELS)
    other = series.clone()
    other[0, 2 * PATCH, 0] += 1
    embeddings = FrozenEncoder(model, FeatureSpec(layers=(0,)))  # before any block mixes patches
    changed = (embeddings(past_values=other) != embeddings(past_values=series)).any(-1)[0, 0]
    assert changed.nonzero().flatten().tolist() == [2]


@FAMILIES
@pytest.mark.parametrize("layer", [1, 2, 3, -1, -2, -3])
def test_a_level_is_what_its_block_gave(make: Callable[[], PreTrainedModel], layer: int) -> None:
    model = make()
    blocks = BLOCKS_OF[type(model)](model)
    given: list[torch.Tensor] = []
    for block in blocks:
        block.register_forward_hook(lambda module, inputs, output: given.append(_tensor(output)))
    series = torch.randn(2, STEPS, CHANNELS)
    level = FrozenEncoder(model, FeatureSpec(layers=(layer,)))(past_values=series)[:, 0]
    number = layer - 1 if layer > 0 else BLOCKS + layer
    assert torch.equal(level, given[number].flatten(1, 2))
    assert all(not torch.equal(level, given[i].flatten(1, 2)) for i in range(BLOCKS) if i != number)


def _tensor(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def test_the_state_that_a_family_does_not_return_is_refused() -> None:
    encoder = FrozenEncoder(patchtsmixer(), FeatureSpec(layers=(0,)))
    with pytest.raises(InputError, match="embedding output"):
        encoder(past_values=torch.randn(1, STEPS, CHANNELS))


def test_a_series_of_another_length_is_stretched_and_of_other_channels_refused() -> None:
    model = patchtst()
    assert medium_of("sensor", model) == "series"
    prepare = open_preparer("series", "nowhere", model, {})
    ramp = np.linspace(0, 1, 2 * STEPS)[:, None] * np.ones(CHANNELS)
    made = prepare([ramp, ramp[::2]])["past_values"]
    assert made.shape == (2, STEPS, CHANNELS)
    assert torch.allclose(made[0], torch.linspace(0, 1, STEPS)[:, None].expand(-1, CHANNELS))
    with pytest.raises(InputError, match="2 channels; the encoder reads 3"):
        prepare([ramp[:, :2]])
    with pytest.raises(InputError, match="not a finite"):
        prepare([np.where(ramp > 0.5, np.nan, ramp)])


def _model(times: int | None) -> MidstreamForCausalLM:
    torch.manual_seed(1)
    connector = {"kind": "mlp", "hidden": 16} | ({"times": times} if times else {})
    return MidstreamForCausalLM.from_parts(
        tiny_lm("llama"), sensor=Modality(patchtst(), connector=connector, schedule=deep_insert(1))
    ).eval()


@torch.no_grad()
def test_only_a_table_of_places_tells_channels_apart() -> None:
    """PatchTST gives exchanged channels exchanged features; a learnt table of places makes them another thing."""
    series = torch.randn(1, 1, STEPS, CHANNELS)
    exchanged = series[..., [1, 0, 2]]
    for times, same in ((None, True), (CHANNELS * PATCHES, False)):
        model = _model(times)
        connect = model.modalities["sensor"].tokens
        slots = torch.zeros(1, 1, dtype=torch.long)
        first, second = (
            connect({"slots": slots, "past_values": given})[0, 0, 0].unflatten(0, (CHANNELS, PATCHES))
            for given in (series, exchanged)
        )
        assert torch.equal(first[0], second[1]) == same


def test_a_table_that_does_not_fit_is_refused() -> None:
    model = _model(7)
    with pytest.raises(InputError, match=r"times is 7, but 18 features"):
        model.modalities["sensor"].tokens(
            {"slots": torch.zeros(1, 1, dtype=torch.long), "past_values": torch.randn(1, 1, STEPS, CHANNELS)}
        )


@torch.no_grad()
def test_the_shipped_encoder_knows_lines_and_one_of_random_weights_does_not() -> None:
    """By the nearest of the classes' mean features: no weights are fitted to the questions."""
    trained = AutoModel.from_pretrained(pocket.encoder_path("series")).eval()
    random = type(trained)(trained.config).eval()
    recordings = [world.sample("test", index) for index in range(160)]
    series = torch.from_numpy(np.stack([render(recording, index) for index, recording in enumerate(recordings)]))
    shares = []
    for model in (trained, random):
        features_NVPE = FrozenEncoder(model, FeatureSpec())(past_values=series)
        lines = features_NVPE[:, 0].unflatten(1, (len(world.CHANNELS), -1)).mean(2).flatten(0, 1)
        right = []
        for field, known in (("trend", world.TRENDS), ("wave", world.WAVES), ("level", world.LEVELS)):
            said = torch.tensor([known.index(getattr(line, field)) for r in recordings for line in r.lines])
            half = len(said) // 2
            means = torch.stack([lines[:half][said[:half] == number].mean(0) for number in range(len(known))])
            right.append((torch.cdist(lines[half:], means).argmin(1) == said[half:]).float().mean().item())
        shares.append(min(right))
    assert shares[0] > 0.95 and shares[1] < 0.7, shares


def test_the_shipped_encoder_is_small_and_says_how_it_was_made() -> None:
    folder = pocket.encoder_path("series")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json"}
    record = json.loads((folder / "provenance.json").read_text())
    assert record["command"] == "python -m midstream.pocket.pretrain series --minutes 4 --seed 0"
    assert record["metrics"]["test"]["patch"] > 0.98


def test_the_shipped_model_reads_lines_and_not_those_of_another_recording() -> None:
    model = MidstreamForCausalLM.from_pretrained("pocket-series").eval()
    processor = MidstreamProcessor.from_pretrained("pocket-series")
    rows = [data.example("test", index, questions_per_scene=1, include_describe=False) for index in range(80)]
    asked = [row["messages"][0]["content"] for row in rows]
    wanted = [row["messages"][1]["content"][0]["text"] for row in rows]
    shares = []
    for shift in (0, 1):  # 1: the control
        shown = [[asked[(i + shift) % len(asked)][0], content[1]] for i, content in enumerate(asked)]
        said = answer(model, processor, [[{"role": "user", "content": content}] for content in shown], 6)
        shares.append(sum(a == b for a, b in zip(said, wanted, strict=True)) / len(wanted))
    assert shares[0] > 0.6 and shares[1] < 0.5, shares
