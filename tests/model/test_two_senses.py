"""A picture and a sound in one prompt, each joining at a layer of its own: who is there at which layer, who matters."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, AutoTokenizer, ViTImageProcessor

import cases
from midstream import pocket
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.pocket.pair.data import example
from midstream.preparing import AudioPreparer
from midstream.presets import deep_insert
from midstream.processing import MidstreamProcessor
from midstream.testing import tiny_encoder

EYES, EARS = 2, 4
PATCHES, SOUNDS = 4, 17 * 2


@pytest.fixture(scope="module")
def model() -> MidstreamForCausalLM:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    spectrogram = {"max_length": 288, "num_mel_bins": 64, "patch_size": 32, "frequency_stride": 32, "time_stride": 16}
    ears = cases.sharpened(ASTModel(ASTConfig(**sizes, **spectrogram)).eval())
    lm = cases.fresh_lm("llama", vocab_size=2000)
    made = MidstreamForCausalLM.from_parts(
        lm,
        image=Modality(tiny_encoder("vit"), "linear", deep_insert(EYES)),
        audio=Modality(ears, "linear", deep_insert(EARS)),
    )
    return made.eval()


@pytest.fixture(scope="module")
def processor() -> MidstreamProcessor:
    return MidstreamProcessor(
        AutoTokenizer.from_pretrained(pocket.lm_path()),
        {
            "image": ViTImageProcessor(size={"height": 16, "width": 16}),
            "audio": AudioPreparer(ASTFeatureExtractor(num_mel_bins=64, max_length=288)),
        },
    )


def _prompt(row: Any, image: Any = None, audio: Any = None) -> list[Any]:
    """The first question of a row, with another row's picture or sound."""
    content = [dict(part) for part in row["messages"][0]["content"]]
    for part, other in ((content[0], image), (content[1], audio)):
        if other is not None:
            kind = part["type"]
            part[kind] = next(p[kind] for p in other["messages"][0]["content"] if p["type"] == kind)
    return [{"role": "user", "content": content}]


@torch.no_grad()
def _seen(model: MidstreamForCausalLM, inputs: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What goes into each layer of the LM, and the logits."""
    into: list[torch.Tensor] = []

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        into.append(args[0] if args else kwargs["hidden_states"])

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in model.lm.model.layers]
    try:
        logits = model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()
    return into, logits


def test_each_sense_joins_at_its_own_layer(model: MidstreamForCausalLM, processor: MidstreamProcessor) -> None:
    rows = [example("test", index) for index in range(4)]
    inputs = processor.apply_chat_template([_prompt(rows[0])], add_generation_prompt=True)
    text = inputs["input_ids"].shape[1]
    into, logits = _seen(model, inputs)
    widths = [hidden.shape[1] for hidden in into]
    assert widths[:EYES] == [text] * EYES
    assert widths[EYES:EARS] == [text + PATCHES] * (EARS - EYES)
    assert set(widths[EARS:]) == {text + PATCHES + SOUNDS}
    assert logits.shape[1] == text

    for changed, first in (({"audio": rows[1]}, EARS), ({"image": rows[1]}, EYES)):
        other = processor.apply_chat_template([_prompt(rows[0], **changed)], add_generation_prompt=True)
        others, different = _seen(model, other)
        same = [torch.equal(a, b) for a, b in zip(into, others, strict=True)]
        assert same == [layer < first for layer in range(len(into))]
        assert (different - logits).abs().max() > 1e-3


def test_a_batch_of_both_one_and_none_is_its_singles(
    model: MidstreamForCausalLM, processor: MidstreamProcessor
) -> None:
    rows = [example("test", index) for index in range(4)]
    prompts = [_prompt(row) for row in rows]
    prompts[1][0]["content"].pop(0)  # no picture
    prompts[2][0]["content"].pop(1)  # no sound
    prompts[3][0]["content"] = prompts[3][0]["content"][2:]
    together = processor.apply_chat_template(prompts, add_generation_prompt=True)
    with torch.no_grad():
        last = model(**together).logits[:, -1]
        for prompt, logits in zip(prompts, last, strict=True):
            alone = model(**processor.apply_chat_template([prompt], add_generation_prompt=True)).logits[0, -1]
            torch.testing.assert_close(alone, logits, **cases.TOLERANCE)
    assert np.linalg.norm((last[0] - last[1]).numpy()) > 1e-2  # control: the picture matters
