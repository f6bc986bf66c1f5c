"""From media to the tensors an encoder reads: one `Preparer` a kind of medium. Knows media and processors, no LM.

A medium's name says how its files are read (`image`, `audio`, `video`, `molecule`, `series`, `own`); a modality of any
name may use it.
"""

from midstream.preparing.audio import AudioPreparer
from midstream.preparing.image import ImagePreparer
from midstream.preparing.molecule import MoleculePreparer
from midstream.preparing.own import OwnPreparer
from midstream.preparing.preparer import Preparer
from midstream.preparing.series import SeriesPreparer
from midstream.preparing.table import MEDIA, medium_of, open_preparer, restore_preparer, wrap
from midstream.preparing.video import VideoPreparer

__all__ = [
    "MEDIA",
    "AudioPreparer",
    "ImagePreparer",
    "MoleculePreparer",
    "OwnPreparer",
    "Preparer",
    "SeriesPreparer",
    "VideoPreparer",
    "medium_of",
    "open_preparer",
    "restore_preparer",
    "wrap",
]
