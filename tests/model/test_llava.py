"""With the same weights, `prepend` and an MLP connector are Transformers' own LLaVA, to the word."""

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import cases
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, prepend
from midstream.schedule import Schedule
from midstream.testing import tiny_encoder

IMAGE = 98
PATCHES = 4
TEXT = [11, 25, 38, 47, 52]
AT = 2


@pytest.fixture(scope="module")
def llava() -> LlavaForConditionalGeneration:
    text: LlamaConfig = cases.plain_lm("llama").config
    vision: CLIPVisionConfig = tiny_encoder("clip_vision_model").config
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        vision_feature_layer=-2,
        image_seq_length=PATCHES,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return cases.sharpened(LlavaForConditionalGeneration(config).eval())


def _ours(llava: LlavaForConditionalGeneration, schedule: Schedule) -> MidstreamForCausalLM:
    lm, vision = cases.fresh_lm("llama"), tiny_encoder("clip_vision_model")
    lm.model.load_state_dict(llava.model.language_model.state_dict())
    lm.lm_head.load_state_dict(llava.lm_head.state_dict())
    vision.load_state_dict(llava.model.vision_tower.state_dict())
    connector = {"kind": "mlp", "norm": False, "hidden": lm.config.hidden_size}
    made = MidstreamForCausalLM.from_parts(
        lm, image=Modality(vision, connector, schedule, {"layers": [-2], "tokens": "patches"})
    )
    projector, net = llava.model.multi_modal_projector, made.modalities["image"].connector.net
    net[1].load_state_dict(projector.linear_1.state_dict())
    net[3].load_state_dict(projector.linear_2.state_dict())
    return made


@torch.no_grad()
def test_logits_and_words_equal_llavas(llava: LlavaForConditionalGeneration) -> None:
    pixels = torch.randn(1, 3, 16, 16)
    theirs = torch.tensor([TEXT[:AT] + [IMAGE] * PATCHES + TEXT[AT:]])
    ours = {
        "input_ids": torch.tensor([TEXT]),
        "image_slots": torch.tensor([[AT]]),
        "image_pixel_values": pixels[:, None],
    }
    made = _ours(llava, prepend())
    expected = llava(input_ids=theirs, pixel_values=pixels).logits[0, theirs[0] != IMAGE]
    assert cases.same([made(**ours).logits[0]], [expected])
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    said = llava.generate(input_ids=theirs, pixel_values=pixels, attention_mask=torch.ones_like(theirs), **options)
    assert made.generate(**ours, **options)[0, len(TEXT) :].tolist() == said[0, theirs.shape[1] :].tolist()
    later = _ours(llava, deep_insert(1))
    assert not cases.same([later(**ours).logits[0]], [expected]), "the control: one layer later is another model"
