"""Any audio encoder of Transformers, tiny and random: how many features, which ones, padding, files of any format."""

import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    ClapAudioConfig,
    ClapAudioModel,
    ClapFeatureExtractor,
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

import cases
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError
from midstream.preparing import AudioPreparer
from midstream.preparing.table import medium_of

RATE = 16_000
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def _ast() -> tuple[PreTrainedModel, Any]:
    sizes = {"max_length": 64, "num_mel_bins": 32}
    config = ASTConfig(**SMALL, **sizes, patch_size=16, frequency_stride=10, time_stride=10)
    return ASTModel(config), ASTFeatureExtractor(**sizes)


def _whisper() -> tuple[PreTrainedModel, Any]:
    layers = {"encoder_layers": 3, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = WhisperConfig(d_model=16, num_mel_bins=8, max_source_positions=50, **layers, **heads, **ids)
    return WhisperModel(config), WhisperFeatureExtractor(feature_size=8, chunk_length=1)


def _clap() -> tuple[PreTrainedModel, Any]:
    stages = {"depths": (1, 1), "num_attention_heads": (2, 4), "num_hidden_layers": 2, "window_size": 4}
    sizes = {"spec_size": 64, "num_mel_bins": 16, "hidden_size": 32, "patch_embeds_hidden_size": 16}
    frames = {"hop_length": 80, "fft_window_size": 256, "max_length_s": 1, "frequency_max": 8000}
    extractor = ClapFeatureExtractor(feature_size=16, sampling_rate=RATE, truncation="rand_trunc", **frames)
    return ClapAudioModel(ClapAudioConfig(**stages, **sizes)), extractor


def _samples(config: Any, model: Any, norm: str) -> Callable[[], tuple[PreTrainedModel, Any]]:
    def make() -> tuple[PreTrainedModel, Any]:
        convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 8), "num_feat_extract_layers": 2}
        positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
        norms = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"}
        return model(config(**SMALL, **convolutions, **positions, **norms)), Wav2Vec2FeatureExtractor()

    return make


FAMILIES: dict[str, tuple[Callable[[], tuple[PreTrainedModel, Any]], int, int]] = {
    # how it is made, features of a sound (patches), tokens before them
    "ast": (_ast, 2 * 5, 2),
    "whisper": (_whisper, 50, 0),
    "wav2vec2": (_samples(Wav2Vec2Config, Wav2Vec2Model, "group"), 199, 0),
    "wav2vec2 layer norm": (_samples(Wav2Vec2Config, Wav2Vec2Model, "layer"), 199, 0),
    "hubert": (_samples(HubertConfig, HubertModel, "group"), 199, 0),
    "clap": (_clap, 64, 0),
}
NAMES = list(FAMILIES)
PADDED = [name for name in NAMES if name != "clap"]  # whose extractor repeats a short sound


def _made(name: str, **settings: Any) -> tuple[FrozenEncoder, AudioPreparer]:
    model, extractor = FAMILIES[name][0]()
    if ("seconds" not in settings and "wav2vec2" in name) or name == "hubert":
        settings = {"seconds": 0.5}
    return FrozenEncoder(cases.sharpened(model.eval()), FeatureSpec()), AudioPreparer(extractor, **settings)


def _sound(seconds: float, seed: int = 0) -> dict[str, Any]:
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    return {"array": wave, "sampling_rate": RATE}


@pytest.mark.parametrize("name", NAMES)
def test_every_sound_has_as_many_features_and_a_batch_is_its_singles(name: str) -> None:
    encoder, preparer = _made(name)
    sounds = [_sound(0.3), _sound(0.01, 1), _sound(0.45, 2)]
    together = encoder(**preparer(sounds))
    assert together.shape == (3, 1, FAMILIES[name][1], encoder.width)
    for sound, features in zip(sounds, together, strict=True):
        alone = encoder(**preparer([sound]))[0]
        torch.testing.assert_close(alone, features, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(together[0], together[2], atol=1e-2)  # control: different sounds differ


@pytest.mark.parametrize("name", PADDED)
def test_features_of_padding_are_zero_and_no_others(name: str) -> None:
    encoder, preparer = _made(name)
    length = preparer.samples / RATE
    part, whole = encoder(**preparer([_sound(0.4 * length), _sound(length)]))[:, 0]
    nothing = (part == 0).all(-1)
    assert not (whole == 0).all(-1).any()
    assert 0.3 < nothing.float().mean() < 0.65
    order = nothing.reshape(2, -1)[0] if name == "ast" else nothing  # AST: band after band
    assert order.tolist() == sorted(order.tolist())  # silence comes after the sound


@pytest.mark.parametrize("name", [name for name in PADDED if name not in ("ast", "whisper")])
def test_what_is_heard_does_not_depend_on_what_lies_in_the_padding(name: str) -> None:
    """Encoders that are given the mask do not look behind the sound's end."""
    encoder, preparer = _made(name)
    media = preparer([_sound(0.25)])
    first = encoder(**media)
    if name in ("wav2vec2", "hubert"):  # their first norm runs over all of the time, padding too, as in training
        assert (first[0, 0] == 0).all(-1).any()
        return
    media["input_values"] = media["input_values"] + (1 - media["attention_mask"]) * 0.5
    torch.testing.assert_close(encoder(**media)[:, :, :90], first[:, :, :90], atol=1e-4, rtol=1e-3)
    media["attention_mask"] = torch.ones_like(media["attention_mask"])  # control
    assert (encoder(**media)[:, :, :90] - first[:, :, :90]).abs().max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_levels_and_tokens_are_the_encoders_own(name: str) -> None:
    encoder, preparer = _made(name)
    media = preparer([_sound(preparer.samples / RATE)])
    leading = FAMILIES[name][2]
    model: Any = encoder.model
    own = model(**{key: value for key, value in media.items() if key != "attention_mask"}, output_hidden_states=True)
    last = own.last_hidden_state.flatten(2).transpose(1, 2) if name == "clap" else own.last_hidden_state
    torch.testing.assert_close(encoder(**media)[:, 0], last[:, leading:], atol=1e-4, rtol=1e-4)
    if name == "clap":
        with pytest.raises(InputError, match="only the last one, -1, can be read"):
            FrozenEncoder(model, FeatureSpec((-2, -1)))
        return
    levels = FrozenEncoder(model, FeatureSpec((-2, 1), "all"))(**media)
    torch.testing.assert_close(levels[:, 0], own.hidden_states[-2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(levels[:, 1], own.hidden_states[1], atol=1e-4, rtol=1e-4)
    cls = FrozenEncoder(model, FeatureSpec(tokens="cls"))
    if leading:
        torch.testing.assert_close(cls(**media)[:, 0], last[:, :1])
    else:
        with pytest.raises(InputError, match=r"no \[CLS\] token"):
            cls(**media)


def test_a_norm_that_stands_before_the_blocks_is_no_final_norm() -> None:
    model = _samples(HubertConfig, HubertModel, "group")()[0]
    with pytest.raises(InputError, match="no norm after its last block"):
        FrozenEncoder(model.eval(), FeatureSpec(norm=True))
    stable = _samples(WavLMConfig, WavLMModel, "layer")()[0]
    assert FrozenEncoder(stable.eval(), FeatureSpec(norm=True)).width == 16


@pytest.mark.parametrize("name", NAMES)
def test_audio_is_recognised_by_what_the_encoder_reads(name: str) -> None:
    encoder, _ = _made(name)
    assert medium_of("ears", encoder.model) == "audio"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_too_long_is_cut_with_a_note_and_the_same_each_time(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, preparer = _made(name)
    long = _sound(preparer.samples / RATE + 0.5)
    cut = {**long, "array": long["array"][: preparer.samples]}
    with caplog.at_level(logging.WARNING, "midstream"):
        exact = encoder(**preparer([cut]))
        assert not caplog.messages
        assert torch.equal(encoder(**preparer([long])), exact)  # CLAP's extractor would draw a random crop
    assert len(caplog.messages) == 1 and "is cut to its first" in caplog.messages[0]


def test_seconds_shorten_and_cannot_lengthen(tmp_path: Any) -> None:
    _ast()[1].save_pretrained(tmp_path)
    assert AudioPreparer.open(str(tmp_path), None).samples == 400 + 63 * 160
    assert AudioPreparer.open(str(tmp_path), None, seconds=0.2).samples == 3200
    for seconds in (0, -1, 11):
        with pytest.raises(InputError, match=rf"prepare.seconds is {seconds}; .* at most 0.655 s here"):
            AudioPreparer.open(str(tmp_path), None, seconds=seconds)


def _file(sound: NDArray[np.float32], kind: str, rate: int) -> bytes:
    kept = io.BytesIO()
    soundfile.write(kept, sound, rate, format=kind)
    return kept.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_of_any_format_is_heard_like_the_array(kind: str, tmp_path: Any) -> None:
    encoder, preparer = _made("wav2vec2 layer norm")
    time = np.arange(RATE // 2) / RATE
    tone = np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.3 * np.sin(2 * np.pi * 660 * time)], 1).astype(np.float32)
    path = tmp_path / f"tone.{kind.lower()}"
    path.write_bytes(_file(tone, kind, RATE))
    array = {"array": tone.T, "sampling_rate": RATE}
    heard, wanted, other = encoder(**preparer([path, array, _sound(0.5)]))
    torch.testing.assert_close(encoder(**preparer([path.read_bytes()]))[0], heard, atol=1e-5, rtol=1e-4)
    close = (heard - wanted).norm() / wanted.norm()
    assert close < {"WAV": 1e-2, "FLAC": 1e-2, "OGG": 0.3, "MP3": 0.3}[kind]
    assert (other - wanted).norm() / wanted.norm() > 2 * close  # control
