"""Media of the user's own: the encoder's class prepares them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from midstream.errors import InputError
from midstream.own import OwnEncoder, make_own
from midstream.preparing.preparer import Preparer


class OwnPreparer(Preparer):
    """Items, as data or users give them, to what `OwnEncoder.preprocess` makes of them, stacked."""

    medium = "own"
    SETTINGS = ("encoder", "options")

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The encoder called `source`, made again with its options."""
        return cls.of(_known(source, settings.get("options")), source, **settings)

    @classmethod
    def of(cls, encoder: OwnEncoder, name: str, options: Mapping[str, Any] | None = None) -> Self:
        """Of an encoder that is there already."""
        return cls(encoder, encoder=name, options=dict(options or {}))

    @classmethod
    def restore(cls, folder: str, settings: Mapping[str, Any]) -> Self:
        """The class is made again by its name."""
        return cls(_known(settings["encoder"], settings.get("options")), **settings)

    def save(self, folder: str | Path) -> None:
        """Nothing: the class makes the encoder again."""

    def load(self, item: Any) -> Any:
        """What the encoder's `preprocess` gives."""
        made = self.processor.preprocess(item)
        return {"values": made} if isinstance(made, Tensor) else dict(made)

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """Stacked, key by key."""
        shapes = [{key: tuple(value.shape) for key, value in one.items()} for one in loaded]
        if other := next((shape for shape in shapes if shape != shapes[0]), None):
            raise InputError(
                f"{self.settings['encoder']}.preprocess gave {shapes[0]} and {other}; all items must have one shape"
            )
        return {key: torch.stack([one[key] for one in loaded]) for key in loaded[0]}


def _known(name: str, options: Mapping[str, Any] | None) -> OwnEncoder:
    encoder = make_own(name, options)
    if encoder is None:
        raise InputError(
            f"no encoder called {name!r} is known here; give the file that defines it with --plugin FILE.py "
            f"(in Python: midstream.own.load_plugin)"
        )
    return encoder
