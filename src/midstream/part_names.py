"""What the name of a frozen part stands for. Owns `pocket...` and the prefix `random:`; loads nothing.

`random:NAME` is the part called NAME with fresh weights instead of the trained ones: the same shape, tokenizer and
preprocessing, and nothing learnt. It is the control that tells what pretraining was worth.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from midstream import pocket
from midstream.errors import InputError

POCKET = "pocket"
RANDOM = "random:"
SEED = 0
"""Of fresh weights: the same in every process, so that a saved model finds its parts again."""


def is_random(name: str | Path) -> bool:
    """Whether a part's weights are to be fresh."""
    return str(name).startswith(RANDOM)


def bare(name: str | Path) -> str:
    """The name without `random:`."""
    return str(name).removeprefix(RANDOM)


def not_loaded(what: str, source: str | Path, error: Exception) -> InputError:
    """Why a part cannot be loaded, and what to do, in one sentence."""
    why = str(error).strip().splitlines()[0].rstrip(".")
    hub = "give a local folder, or a hub id (with network; private and gated ones after `hf auth login`)"
    own = "one of your own is made known with --plugin FILE.py (midstream.own)"
    hint = f"{hub}; {own}" if what == "encoder" and "/" not in str(source) else hub
    return InputError(f"{what} {str(source)!r} cannot be loaded: {why}; {hint}")


def lm_source(name: str | Path) -> str:
    """The folder or hub id of a language model: of `pocket` and its relatives the shipped folder."""
    known = bare(name)
    return str(pocket.lm_path(known)) if known in pocket.lm_names() else known


def encoder_source(name: str | Path, medium: str, modality: str = "") -> str:
    """The folder or hub id of an encoder: of `pocket` the shipped one that reads `medium`.

    Args:
        modality: its name, for the message.

    Raises:
        InputError: no pocket encoder reads this medium.
    """
    known = bare(name)
    if known != POCKET:
        return known
    if medium not in pocket.encoder_media():
        raise InputError(
            f"no pocket encoder reads {medium!r}; they read {', '.join(pocket.encoder_media())} (name one as the "
            f"`medium` of {modality or medium}, or choose another encoder)"
        )
    return str(pocket.encoder_path(medium))


def settled(name: str) -> str:
    """A local folder as an absolute path, so that the saved model loads from any working directory; else the name."""
    known = bare(name)
    if not Path(known).is_dir():
        return name
    return f"{RANDOM if is_random(name) else ''}{Path(known).resolve()}"


@contextmanager
def fresh() -> Iterator[None]:
    """A `with` block in which weights are drawn from the one seed, and none drawn outside it change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield
