"""How an encoder's processor is found, and which medium an encoder reads."""

from pathlib import Path

import pytest
from transformers import ViTConfig, ViTImageProcessorPil, WhisperFeatureExtractor

from midstream.errors import InputError
from midstream.preparing import MEDIA, AudioPreparer, ImagePreparer, SeriesPreparer

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
        with pytest.raises(InputError, match=f"{LOADED[medium]} .* cannot be loaded: ") as caught:
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
