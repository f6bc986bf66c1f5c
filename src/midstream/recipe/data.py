"""The settings of the kinds of data that a recipe can name. How each is read lives in `midstream.data`."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveInt

from midstream.recipe.node import Settings


class PocketData(Settings):
    """Scenes drawn on the fly: `midstream.pocket.data`."""

    kind: Literal["pocket"]
    scenes: PositiveInt = 8000
    questions: PositiveInt = 8
    describe: bool = True
    seed: int = 0


class JsonlData(Settings):
    """JSON lines of messages; paths are relative to the working directory, images to the file's folder."""

    kind: Literal["jsonl"]
    train: Path
    validation: Path | None = None
    test: Path | None = None
    images: Path | None = None
    limit: PositiveInt | None = None


class LlavaData(Settings):
    """LLaVA conversations and the folder their images lie in."""

    kind: Literal["llava"]
    train: Path
    images: Path
    validation: Path | None = None
    test: Path | None = None
    limit: PositiveInt | None = None


class Vqav2Data(Settings):
    """VQAv2's questions, annotations and COCO images under one root, as its site ships them."""

    kind: Literal["vqav2"]
    root: Path
    limit: PositiveInt | None = None


class CocoCaptionsData(Settings):
    """COCO captions and images under one root."""

    kind: Literal["coco_captions"]
    root: Path
    year: Literal[2014, 2017] = 2017
    request: str = "describe the picture."
    limit: PositiveInt | None = None


class HubData(Settings):
    """A data set of the hub, or a folder that `datasets` saved: rows with `messages` and, in TRL's style, `images`."""

    kind: Literal["datasets"]
    path: str
    name: str | None = None
    limit: PositiveInt | None = None


Data: TypeAlias = Annotated[
    PocketData | JsonlData | LlavaData | Vqav2Data | CocoCaptionsData | HubData, Field(discriminator="kind")
]
