"""Which medium an encoder reads, and the preparer that belongs to it."""

from collections.abc import Mapping
from typing import Any, Final

from midstream.encoders.layouts import frames_read
from midstream.errors import InputError
from midstream.own import OwnEncoder
from midstream.preparing.audio import AudioPreparer
from midstream.preparing.image import ImagePreparer
from midstream.preparing.molecule import MoleculePreparer
from midstream.preparing.own import OwnPreparer
from midstream.preparing.preparer import Preparer
from midstream.preparing.series import SeriesPreparer
from midstream.preparing.video import VideoPreparer

MEDIA: Final[dict[str, type[Preparer]]] = {
    kind.medium: kind
    for kind in (ImagePreparer, AudioPreparer, VideoPreparer, MoleculePreparer, SeriesPreparer, OwnPreparer)
}

_READ: Final = {
    "pixel_values": "image",
    "pixel_values_videos": "video",
    "input_values": "audio",
    "input_features": "audio",
    "input_ids": "molecule",
    "past_values": "series",
}


def medium_of(name: str, encoder: Any, wanted: str | None = None) -> str:
    """The medium of a modality: the one that is named, the one it is called after, or the one its encoder reads.

    Args:
        name: the modality's.
        encoder: the loaded encoder module.
        wanted: the recipe's word.

    Raises:
        InputError: an unknown medium, or none can be told.
    """
    if isinstance(encoder, OwnEncoder):
        return "own"
    if wanted is not None:
        if wanted not in MEDIA:
            raise InputError(f"the medium of {name} is {wanted!r}; choose one of {', '.join(MEDIA)}")
        return wanted
    if name in MEDIA:
        return name
    found = _READ.get(encoder.main_input_name)
    if found is None:
        raise InputError(
            f"the encoder of {name} reads {encoder.main_input_name}; name its `medium`: {', '.join(MEDIA)}"
        )
    return "video" if found == "image" and frames_read(encoder.config) else found


def open_preparer(medium: str, source: str, encoder: Any, settings: Mapping[str, Any]) -> Preparer:
    """The preparer of an encoder that is loaded already.

    Raises:
        InputError: its processor cannot be loaded, or a setting is wrong.
    """
    if isinstance(encoder, OwnEncoder):
        return OwnPreparer.of(encoder, source, settings.get("options"))
    return MEDIA[medium].open(source, encoder.config, **settings)


def restore_preparer(medium: str, folder: str, settings: Mapping[str, Any]) -> Preparer:
    """Inverse of `Preparer.save`.

    Raises:
        InputError: the folder is damaged, or the medium is unknown here.
    """
    if medium not in MEDIA:
        raise InputError(f"{folder} is of the medium {medium!r}, which is not known here; known: {', '.join(MEDIA)}")
    return MEDIA[medium].restore(folder, settings)


def wrap(name: str, processor: Any) -> Preparer:
    """A preparer around a bare processor of Transformers, of the medium that the modality is called after."""
    if isinstance(processor, Preparer):
        return processor
    return MEDIA.get(name, ImagePreparer)(processor)
