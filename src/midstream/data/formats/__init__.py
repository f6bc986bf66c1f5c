"""Data sets as they lie on disk, read into rows; one module for each layout. Opens no medium.

Each reader checks the whole file first: the first bad entry is named by file, line or index, and field.
"""

from midstream.data.formats.audiocaps import read_audiocaps
from midstream.data.formats.coco import read_coco_captions
from midstream.data.formats.jsonl import read_jsonl
from midstream.data.formats.llava import read_llava
from midstream.data.formats.msrvtt import read_msrvtt
from midstream.data.formats.vqav2 import read_vqav2

__all__ = ["read_audiocaps", "read_coco_captions", "read_jsonl", "read_llava", "read_msrvtt", "read_vqav2"]
