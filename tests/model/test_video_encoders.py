"""Encoders of videos: the order of their tokens, the order of frames, and clips of any file through a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from transformers import AutoModel, PreTrainedModel, VideoMAEImageProcessorPil, VJEPA2Config, VJEPA2VideoProcessor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from midstream import MidstreamForCausalLM, Modality, deep_insert
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError
from midstream.preparing import medium_of, open_preparer
from midstream.testing import tiny_encoder, tiny_lm

FRAMES, SIDE, PATCH, WIDTH, BLOCKS = 4, 16, 8, 24, 3
PLACES = (SIDE // PATCH) ** 2
SIZES: dict[str, dict[str, Any]] = {
    "timesformer": {"num_frames": FRAMES, "image_size": SIDE, "patch_size": PATCH},
    "videomae": {
        "num_frames": FRAMES,
        "image_size": SIDE,
        "patch_size": PATCH,
        "tubelet_size": 2,
        "use_mean_pooling": False,
    },
    "vivit": {"num_frames": FRAMES, "image_size": SIDE, "tubelet_size": [2, PATCH, PATCH]},
    "vjepa2": {
        "frames_per_clip": FRAMES,
        "crop_size": SIDE,
        "patch_size": PATCH,
        "tubelet_size": 2,
        "mlp_ratio": 2.0,
        "pred_hidden_size": 16,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
    },
}
STEPS = {"timesformer": FRAMES, "videomae": FRAMES // 2, "vivit": FRAMES // 2, "vjepa2": FRAMES // 2}
FAMILIES = pytest.mark.parametrize("family", SIZES)


def tiny_video_encoder(family: str) -> PreTrainedModel:
    plain = {
        "hidden_size": WIDTH,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "initializer_range": 0.2,  # loud enough for every token to make a difference
    }
    torch.manual_seed(3)
    model = AutoModel.from_config(CONFIG_MAPPING[family](**plain, **SIZES[family])).eval()
    for name, parameter in model.named_parameters():
        if "embeddings" in name and parameter.ndim == 3:  # learnt places and times begin as zeros
            nn.init.normal_(parameter, std=0.3)
    return model


def clip(seed: int = 0, count: int = 1) -> torch.Tensor:
    return torch.randn(count, FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def encoded(encoder: FrozenEncoder, pixels: torch.Tensor) -> torch.Tensor:
    return encoder(**{encoder.input_name: pixels})


@FAMILIES
def test_tokens_are_step_after_step(family: str) -> None:
    encoder = FrozenEncoder(tiny_video_encoder(family), FeatureSpec(layers=(0,)))  # before any block mixes steps
    pixels = clip()
    before = encoded(encoder, pixels)
    steps = STEPS[family]
    assert before.shape == (1, 1, steps * PLACES, WIDTH)
    for frame in range(FRAMES):
        other = pixels.clone()
        other[:, frame] += 1
        changed = (encoded(encoder, other) != before).any(-1)[0, 0].unflatten(0, (steps, PLACES))
        assert changed.all(1).nonzero().flatten().tolist() == [frame * steps // FRAMES]
        assert changed.any(1).sum() == 1


def test_timesformers_own_order_is_another() -> None:
    """The control of the test above: with the tokens as they come it would fail."""
    encoder = FrozenEncoder(tiny_video_encoder("timesformer"), FeatureSpec((0,), "all"))
    pixels = clip()
    other = pixels.clone()
    other[:, 1] += 1
    changed = (encoded(encoder, other) != encoded(encoder, pixels)).any(-1)[0, 0, 1:]
    assert changed.nonzero().flatten().tolist() == [1, 5, 9, 13]


@FAMILIES
def test_the_order_of_frames_matters_to_a_video_encoder(family: str) -> None:
    encoder = FrozenEncoder(tiny_video_encoder(family), FeatureSpec())
    forward, backward = (encoded(encoder, given).mean(2) for given in (clip(), clip().flip(1)))
    assert (forward - backward).abs().max() > 1e-3
    constant = clip()[:, :1].expand(-1, FRAMES, -1, -1, -1)
    assert torch.equal(encoded(encoder, constant), encoded(encoder, constant.flip(1)))


@FAMILIES
@pytest.mark.parametrize("layers", [(-1,), (0, 1, -2, -1)])
def test_a_batch_is_its_singles(family: str, layers: tuple[int, ...]) -> None:
    encoder = FrozenEncoder(tiny_video_encoder(family), FeatureSpec(layers))
    both = encoded(encoder, torch.cat([clip(1), clip(2)]))
    assert both.shape == (2, len(layers), STEPS[family] * PLACES, WIDTH)
    for row, seed in enumerate((1, 2)):
        torch.testing.assert_close(both[row], encoded(encoder, clip(seed))[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


@FAMILIES
def test_the_last_level_is_the_encoders_own_output_and_norm_is_its_final_norm(family: str) -> None:
    model = tiny_video_encoder(family)
    norm = model.encoder.layernorm if family == "vjepa2" else model.layernorm
    nn.init.normal_(norm.weight)  # or else a second norm would go unnoticed
    pixels = clip()
    own = model(pixels, output_hidden_states=True)
    levels = encoded(FrozenEncoder(model, FeatureSpec((1, -1), "all", norm=True)), pixels)[0]
    torch.testing.assert_close(levels[0], norm(own.hidden_states[1])[0])
    torch.testing.assert_close(levels[1], own.last_hidden_state[0])
    assert not torch.allclose(levels[0], own.hidden_states[1][0], atol=1e-2)


def test_only_a_family_with_a_cls_token_has_one() -> None:
    for family in SIZES:
        encoder = FrozenEncoder(tiny_video_encoder(family), FeatureSpec(tokens="cls"))
        if family in ("timesformer", "vivit"):
            assert encoded(encoder, clip()).shape == (1, 1, 1, WIDTH)
        else:
            with pytest.raises(InputError, match=r"has no \[CLS\] token"):
                encoded(encoder, clip())


def _model(encoder: PreTrainedModel, times: int | None = None, kind: str = "resampler") -> MidstreamForCausalLM:
    torch.manual_seed(1)
    connector = {"kind": kind} | ({"times": times} if times else {})
    model = MidstreamForCausalLM.from_parts(
        tiny_lm("llama"), video=Modality(encoder, connector=connector, schedule=deep_insert(1))
    ).eval()
    for name, parameter in model.modalities["video"].named_parameters():
        if name.endswith("table"):
            nn.init.normal_(parameter)
    return model


def _tokens(model: MidstreamForCausalLM, pixels: torch.Tensor) -> torch.Tensor:
    slots = torch.zeros(1, 1, dtype=torch.long)
    return model.modalities["video"].tokens({"slots": slots, "pixel_values": pixels.unsqueeze(1)})


@torch.no_grad()
@pytest.mark.parametrize("family", ["vit", "clip_vision_model", "dinov2", "siglip_vision_model"])
def test_frames_of_an_image_encoder_need_a_table_of_times(family: str) -> None:
    """A connector that does not know its inputs' order sees no difference between a clip and the clip backwards."""
    pixels = clip()
    for times, same in ((None, True), (FRAMES, False)):
        model = _model(tiny_encoder(family), times)
        forward, backward = (_tokens(model, given) for given in (pixels, pixels.flip(1)))
        assert torch.allclose(forward, backward, atol=1e-5) == same
    frames = FrozenEncoder(tiny_encoder(family), FeatureSpec())
    together = frames(pixel_values=pixels)[0, 0].unflatten(0, (FRAMES, -1))
    for step in range(FRAMES):
        torch.testing.assert_close(together[step], frames(pixel_values=pixels[:, step])[0, 0], rtol=1e-4, atol=1e-5)


# --- files


def _brighter(count: int = 12) -> NDArray[np.uint8]:
    """A clip that brightens from frame to frame, 32 x 48 pixels."""
    levels = np.linspace(20, 235, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 32, 48, 3)).copy()


def _write(path: Path, frames: NDArray[np.uint8]) -> Path:
    if path.suffix == ".gif":
        first, *others = [Image.fromarray(frame) for frame in frames]
        first.save(path, save_all=True, append_images=others, duration=100)
        return path
    codec = {".mp4": "libx264", ".webm": "libvpx"}[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def _preparer(folder: Path, model: PreTrainedModel) -> Any:
    VideoMAEImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3
    ).save_pretrained(folder)
    model.config.save_pretrained(folder)
    return open_preparer("video", str(folder), model, {})


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_a_file_is_read_as_its_frames_are(suffix: str, tmp_path: Path) -> None:
    model = tiny_video_encoder("videomae")
    assert medium_of("film", model) == "video"
    prepare = _preparer(tmp_path, model)
    frames = _brighter()
    path = _write(tmp_path / f"clip{suffix}", frames)
    pixels = prepare([str(path), path.read_bytes(), frames, frames[::-1].copy()])["pixel_values"]
    assert pixels.shape == (4, FRAMES, 3, SIDE, SIDE)
    assert torch.equal(pixels[0], pixels[1])
    assert (pixels[0] - pixels[2]).abs().max() < 0.1  # codecs are not exact; neighbouring frames are 0.15 apart
    assert (pixels.mean((2, 3, 4)).diff(dim=1) > 0).all(1).tolist() == [True, True, True, False]


def test_other_frames_than_the_encoder_reads_are_refused(tmp_path: Path) -> None:
    model = tiny_video_encoder("vivit")
    _preparer(tmp_path, model)
    with pytest.raises(InputError, match=r"frames is 5, but the encoder .* reads 4"):
        open_preparer("video", str(tmp_path), model, {"frames": 5})
    pictures = tiny_encoder("vit")
    pictures.config.save_pretrained(tmp_path)
    assert open_preparer("video", str(tmp_path), pictures, {"frames": 5}).settings == {"frames": 5}


def test_a_processor_of_videos_is_used_where_there_is_one(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    VJEPA2VideoProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        tmp_path
    )
    model = tiny_video_encoder("vjepa2")
    model.config.save_pretrained(tmp_path)
    prepare = open_preparer("video", str(tmp_path), model, {})
    made = prepare([_brighter()])
    assert made["pixel_values_videos"].shape == (1, FRAMES, 3, SIDE, SIDE)
    assert isinstance(model.config, VJEPA2Config) and FrozenEncoder(model, FeatureSpec())(**made).shape[2] == 8


@torch.no_grad()
@FAMILIES
def test_a_clip_moves_the_answer_of_a_whole_model(family: str) -> None:
    model = _model(tiny_video_encoder(family), kind="linear")
    name = model.modalities["video"].encoder.input_name
    ids = torch.tensor([[5, 6, 7, 8]])

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        slots = torch.zeros(1, 1, dtype=torch.long)
        return model(input_ids=ids, video_slots=slots, **{f"video_{name}": pixels.unsqueeze(1)}).logits[:, -1]

    assert torch.equal(logits(clip()), logits(clip()))
    assert (logits(clip()) - logits(clip().flip(1))).abs().max() > 1e-4
