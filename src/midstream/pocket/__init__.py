"""Pocket: a world, a language model and an image encoder small enough to ship.

Importing this costs nothing (no torch). `examples` gives rows of pictures with questions, `described` the same rows in
words; `lm_path` and `encoder_path` are ordinary Hugging Face folders to load with the Auto classes. How both were
trained: ``python -m midstream.pocket.pretrain --help``.
"""

from __future__ import annotations

from pathlib import Path

from midstream.pocket.data import described, example, examples, scene_of
from midstream.pocket.render import render
from midstream.pocket.rows import Row, Split
from midstream.pocket.world import Scene, Thing, make_scene

__all__ = [
    "Row", "Scene", "Split", "Thing", "described", "encoder_media", "encoder_path", "example", "examples", "lm_name",
    "lm_names", "lm_path", "make_scene", "model_names", "model_path", "render", "scene_of",
]  # fmt: skip

_WEIGHTS = Path(__file__).parent / "weights"


def lm_path(name: str = "pocket") -> Path:
    """Folder of a shipped causal language model and its tokenizer: `pocket`, or one of its relatives (`lm_names`)."""
    return _WEIGHTS / name.replace("pocket", "lm", 1)


def lm_name(folder: str) -> str:
    """What the language model in a folder of this name is called."""
    return folder.replace("lm", "pocket", 1)


def lm_names() -> list[str]:
    """The shipped language models, `pocket` first."""
    return sorted(lm_name(path.parent.name) for path in _WEIGHTS.glob("lm*/config.json"))


def encoder_path(medium: str = "image") -> Path:
    """Folder of the shipped encoder of a medium (a ViT for ``image``) and its processor; it need not exist yet."""
    return _WEIGHTS / ("encoder" if medium == "image" else medium)


def encoder_media() -> list[str]:
    """The media that shipped encoders read, `image` first."""
    others = {path.parent.name for path in _WEIGHTS.glob("*/config.json")} - {"encoder"}
    return ["image", *sorted(name for name in others if not name.startswith(("model", "lm")))]


def model_path(name: str = "pocket") -> Path:
    """Folder of a shipped model: `pocket` sees pictures, `pocket-audio` hears, and so on (`model_names`)."""
    return _WEIGHTS / name.replace("pocket", "model", 1)


def model_names() -> list[str]:
    """The shipped models, `pocket` first: connectors only, as `save_pretrained` wrote them."""
    return sorted(path.parent.name.replace("model", "pocket", 1) for path in _WEIGHTS.glob("model*/config.json"))
