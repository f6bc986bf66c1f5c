"""How an encoder's processor is found, and which medium an encoder reads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import (
    CLIPVisionModel,
    PatchTSTModel,
    PreTrainedModel,
    RobertaModel,
    TimesformerModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
    Wav2Vec2Model,
    WhisperFeatureExtractor,
    WhisperModel,
)

from midstream.errors import InputError
from midstream.preparing import MEDIA, AudioPreparer, ImagePreparer, SeriesPreparer, medium_of, wrap

LOADED = {
    "image": "image processor",
    "audio": "feature extractor",
    "video": "video processor",
    "molecule": "tokenizer",
}


@pytest.mark.parametrize("medium", LOADED)
def test_a_processor_that_is_not_there_is_called_what_it_is(medium: str, tmp_path: Path) -> None:
    kind, source = MEDIA[medium], str(tmp_path)
    for load in (lambda: kind.open(source, ViTConfig()), lambda: kind.restore(source, {})):
        with pytest.raises(
            InputError, match=f"{LOADED[medium]} .* cannot be loaded: .*; give a local folder"
        ) as caught:
            load()
        assert "\n" not in str(caught.value)


def test_a_saved_processor_is_loaded_as_its_own_kind(tmp_path: Path) -> None:
    ImagePreparer(ViTImageProcessorPil(size={"height": 8, "width": 8})).save(tmp_path / "image")
    AudioPreparer(WhisperFeatureExtractor(feature_size=16)).save(tmp_path / "audio")
    assert ImagePreparer.restore(str(tmp_path / "image"), {}).processor.size["height"] == 8
    assert AudioPreparer.restore(str(tmp_path / "audio"), {"seconds": 2}).processor.feature_size == 16
    with pytest.raises(InputError, match="feature extractor"):  # the control: a folder of another kind
        AudioPreparer.restore(str(tmp_path / "image"), {})


def test_series_need_no_processor(tmp_path: Path) -> None:
    assert SeriesPreparer.restore(str(tmp_path / "nothing"), {"length": 4}).processor is None


def _reader(family: type[PreTrainedModel], **changes: Any) -> Any:
    """What an encoder of a family says about itself, without its weights."""
    return SimpleNamespace(main_input_name=family.main_input_name, config=family.config_class(), **changes)


READS = {
    ViTModel: "image",
    CLIPVisionModel: "image",
    TimesformerModel: "video",
    Wav2Vec2Model: "audio",
    WhisperModel: "audio",
    RobertaModel: "molecule",
    PatchTSTModel: "series",
}


@pytest.mark.parametrize("family", READS)
def test_a_modality_of_any_name_has_the_medium_that_its_encoder_reads(family: type[PreTrainedModel]) -> None:
    encoder = _reader(family)
    assert medium_of("eyes", encoder) == medium_of("ears", encoder) == READS[family]
    assert medium_of("video", encoder) == "video"  # the controls: its own name says more, and the recipe's word most
    assert medium_of("video", encoder, "image") == "image"


def test_a_medium_that_cannot_be_told_or_is_not_known_is_refused() -> None:
    encoder = SimpleNamespace(main_input_name="points", config=ViTConfig())
    with pytest.raises(InputError, match="encoder of cloud reads points; name its `medium`: image, "):
        medium_of("cloud", encoder)
    with pytest.raises(InputError, match="medium of cloud is 'points'; choose one of image, "):
        medium_of("cloud", encoder, "points")
    assert medium_of("cloud", encoder, "series") == "series"


def test_a_bare_processor_is_wrapped_by_the_name_of_its_modality() -> None:
    bare = WhisperFeatureExtractor(feature_size=16)
    wrapped = wrap("audio", bare)
    assert isinstance(wrapped, AudioPreparer) and wrapped.processor is bare
    assert isinstance(wrap("ears", bare), ImagePreparer)  # of another name it is taken for pictures'
    assert wrap("ears", wrapped) is wrapped  # a preparer stays what it is
