"""Pocket: a world, a language model and an image encoder small enough to ship.

Importing this costs nothing (no torch). `examples` gives rows of pictures with questions, `described` the same rows in
words; `lm_path` and `encoder_path` are ordinary Hugging Face folders to load with the Auto classes. How both were
trained: ``python -m midstream.pocket.pretrain --help``.
"""

from __future__ import annotations

from pathlib import Path

from midstream.pocket.data import Row, Split, described, example, examples, scene_of
from midstream.pocket.render import render
from midstream.pocket.world import Scene, Thing, make_scene

__all__ = [
    "Row", "Scene", "Split", "Thing", "described", "encoder_path", "example", "examples", "lm_path", "make_scene",
    "model_path", "render", "scene_of",
]  # fmt: skip

_WEIGHTS = Path(__file__).parent / "weights"


def lm_path() -> Path:
    """Folder of the shipped causal language model and its tokenizer."""
    return _WEIGHTS / "lm"


def encoder_path(part: str = "encoder") -> Path:
    """Folder of a shipped encoder and its processor.

    Args:
        part: ``encoder`` (pictures), ``audio``, ``video``, ``molecule`` or ``series``.
    """
    return _WEIGHTS / part


def model_path() -> Path:
    """Folder of the shipped model: the `best` recipe's connector between the two, as `save_pretrained` wrote it."""
    return _WEIGHTS / "model"
