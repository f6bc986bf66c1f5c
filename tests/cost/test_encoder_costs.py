"""What encoder and connector of any medium cost: tokens and FLOPs on the meta device are those of a real run."""

from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from midstream.cost.parts import example_media, read_part
from midstream.cost.sources import find
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ENCODERS: dict[str, dict[str, Any]] = {
    "vit": {**SMALL, "image_size": 16, "patch_size": 8},
    "audio-spectrogram-transformer": {**SMALL, "max_length": 64, "num_mel_bins": 32},
    "whisper": {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 24,
                "decoder_layers": 1, "decoder_attention_heads": 2, "max_source_positions": 20, "num_mel_bins": 16},
    "vivit": {**SMALL, "image_size": 16, "num_frames": 4, "tubelet_size": [2, 8, 8]},
    "roberta": {**SMALL, "vocab_size": 40, "max_position_embeddings": 40},
    "patchtst": {"d_model": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24,
                 "context_length": 32, "patch_length": 8, "patch_stride": 8, "num_input_channels": 3},
}  # fmt: skip


@pytest.mark.parametrize("kind", ENCODERS)
def test_on_paper_as_in_a_run(kind: str) -> None:
    config = CONFIG_MAPPING[kind](**ENCODERS[kind])
    part = read_part({"kind": "linear"}, 12, config)
    encoder = FrozenEncoder(AutoModel.from_config(config, attn_implementation="eager"), FeatureSpec())
    with FlopCounterMode(display=False) as counter:
        features = encoder(**{encoder.input_name: example_media(encoder.model, device="cpu")})
    assert part.tokens == features.shape[2] and part.encoder == counter.get_total_flops() > 0


def test_frames_of_a_picture_encoder_count_each() -> None:
    config = CONFIG_MAPPING["vit"](**ENCODERS["vit"])
    one, four = (read_part({"kind": "linear", **times}, 12, config) for times in ({}, {"times": 4}))
    assert four.tokens == 4 * one.tokens and four.encoder == 4 * one.encoder
    assert four.connector_parameters == one.connector_parameters + 4 * SMALL["hidden_size"]


def test_an_identity_costs_nothing() -> None:
    part = read_part({"kind": "identity"}, SMALL["hidden_size"], CONFIG_MAPPING["vit"](**ENCODERS["vit"]))
    assert part.forward == part.backward == part.connector_parameters == 0 and part.tokens > 0


def test_a_model_of_an_own_encoder_says_what_to_give(tmp_path: Any) -> None:
    import midstream.table_encoder  # noqa: F401 - makes `table` known

    recipe = tmp_path / "rows.yaml"
    recipe.write_text(
        "lm: pocket\nmodalities: {table: {encoder: table, schedule: {preset: prepend}}}\n"
        "data: {kind: pocket}\ntraining: {steps: 1}\n"
    )
    with pytest.raises(InputError, match=r"table is an encoder of your own.*--tokens and --width"):
        find(str(recipe))


def test_the_control_another_picture_size_costs_something_else() -> None:
    small, large = (CONFIG_MAPPING["vit"](**{**ENCODERS["vit"], "image_size": size}) for size in (16, 32))
    assert read_part({"kind": "linear"}, 12, small).encoder < read_part({"kind": "linear"}, 12, large).encoder
