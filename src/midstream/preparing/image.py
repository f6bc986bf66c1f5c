"""Pictures, by the encoder's own image processor."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from transformers import AutoImageProcessor

from midstream import media
from midstream.preparing.preparer import Preparer


class ImagePreparer(Preparer):
    """Paths, bytes or PIL pictures to `pixel_values` (N, C, H, W)."""

    medium = "image"
    PROCESSOR = (AutoImageProcessor, "image processor")

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The image processor beside the encoder."""
        return cls(cls._load(source), **settings)

    def load(self, item: Any) -> Any:
        """An RGB picture."""
        return media.load_image(item)

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """What the processor makes of them."""
        return self.processor(list(loaded), return_tensors="pt")
