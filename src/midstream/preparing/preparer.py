"""What every medium's preparer offers. Knows no medium."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from midstream.errors import InputError
from midstream.part_names import not_loaded

notes = logging.getLogger("midstream")
"""Where it is said that a medium was cut."""


class Preparer(ABC):
    """One modality's way from a file, bytes or an object to its encoder's inputs.

    Args:
        processor: the encoder's own (an image processor, a feature extractor, a tokenizer).
        settings: how media are prepared where the processor leaves it open; every one of `SETTINGS`.
    """

    medium: ClassVar[str]
    SETTINGS: ClassVar[tuple[str, ...]] = ()
    """Names of the settings that this medium has."""
    PROCESSOR: ClassVar[tuple[Any, str] | None] = None
    """The auto class that loads its processors, and what they are called; None where the medium has none."""

    def __init__(self, processor: Any, **settings: Any) -> None:
        if unknown := sorted(set(settings) - set(self.SETTINGS)):
            known = f"it has {', '.join(self.SETTINGS)}" if self.SETTINGS else "it has none"
            raise InputError(f"prepare.{unknown[0]} is no setting of the medium {self.medium}; {known}")
        self.processor = processor
        self.settings = settings

    @classmethod
    @abstractmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """From what the encoder at `source` (a hub id or a folder) brings along.

        Args:
            config: the encoder's; it says what the processor's files do not (frames, the longest sequence).
            settings: those the user gave.

        Raises:
            InputError: there is no processor, or a setting is unknown.
        """

    @classmethod
    def restore(cls, folder: str, settings: Mapping[str, Any]) -> Self:
        """Inverse of `save`."""
        return cls(cls._load(folder), **settings)

    def save(self, folder: str | Path) -> None:
        """Write the processor into a folder of its own."""
        self.processor.save_pretrained(folder)

    @classmethod
    def _load(cls, source: str) -> Any:
        """The processor at `source`."""
        return None if cls.PROCESSOR is None else load_with(*cls.PROCESSOR, source)

    @abstractmethod
    def load(self, item: Any) -> Any:
        """One medium, decoded as the processor wants it.

        Raises:
            InputError: it cannot be read, or it is over a limit.
        """

    @abstractmethod
    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """N decoded media to the encoder's inputs, (N, ...) each, of the same shape whatever the media's sizes are."""

    def __call__(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """N media, from whatever they are, to the encoder's inputs."""
        made = self.batch([self.load(item) for item in items])
        return {key: value for key, value in made.items() if isinstance(value, Tensor)}


def load_with(auto: Any, what: str, source: str) -> Any:
    """`from_pretrained`, with one sentence when it fails."""
    try:
        return auto.from_pretrained(source)
    except (OSError, ValueError, ImportError) as error:
        raise not_loaded(what, source, error) from None
