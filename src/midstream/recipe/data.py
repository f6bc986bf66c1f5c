"""The settings of the kinds of data that a recipe can name. How each is read lives in `midstream.data`."""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from midstream.recipe.node import Settings


class PocketData(Settings):
    """Scenes of a pocket world, made on the fly: `midstream.pocket.worlds`.

    `asked` says what evaluation asks: one question about each scene, or to describe it.
    """

    kind: Literal["pocket"]
    world: str = "pictures"
    scenes: PositiveInt = 8000
    questions: PositiveInt = 8
    describe: bool = True
    asked: Literal["questions", "descriptions"] = "questions"
    seed: int = 0


class Files(Settings):
    """Base of data whose splits are files that the recipe names; their paths are relative to the working directory.

    `media` is the folder that relative paths of media start from; `images` is its older name.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    media: Path | None = None
    images: Path | None = None
    limit: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if self.media is not None and self.images is not None:
            raise ValueError("`images` is the older name of `media`; give one of them")
        return self

    @property
    def folder(self) -> Path | None:
        """Where relative paths of media start from, if the recipe says so."""
        return self.media if self.media is not None else self.images


class JsonlData(Files):
    """JSON lines of messages; media start from the file's own folder unless `media` names another.

    With `streaming` the training file is read line by line and never held; `shuffle` is out of how many waiting lines
    the next one is drawn.
    """

    kind: Literal["jsonl"]
    streaming: bool = False
    shuffle: NonNegativeInt = 1000
    seed: NonNegativeInt = 0


class LlavaData(Files):
    """LLaVA conversations; media start from the file's own folder unless `media` names another."""

    kind: Literal["llava"]


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


class AudioCapsData(Settings):
    """AudioCaps: `{train,val,test}.csv` under `root`, clips in `audio`, or under `root` where none is named.

    `missing` is about training: stop at clips that are not there, or leave them out. `captions`: a training row for
    each caption, or for the first of each clip.
    """

    kind: Literal["audiocaps"]
    root: Path
    audio: Path | None = None
    request: str = "describe the sound."
    captions: Literal["each", "first"] = "each"
    missing: Literal["stop", "leave_out"] = "stop"
    limit: PositiveInt | None = None


class MsrVttData(Settings):
    """MSR-VTT: its JSON files and videos under one root; `captions` and `missing` as for AudioCaps."""

    kind: Literal["msrvtt"]
    root: Path
    request: str = "describe the video."
    captions: Literal["each", "first"] = "each"
    missing: Literal["stop", "leave_out"] = "stop"
    limit: PositiveInt | None = None


class ColumnSettings(Settings):
    """Base of data in columns, which may be called anything; see `midstream.data.columns`.

    `question` and `answer` name columns, `media` says which modality a column is where the data do not, `request` is
    what is asked where there is no question. With `streaming` the training rows are read as they come.
    """

    question: str | None = None
    answer: str | None = None
    media: dict[str, str] = Field(default={})
    request: str | None = None
    shuffle: NonNegativeInt = 1000
    seed: NonNegativeInt = 0
    limit: PositiveInt | None = None


class HubData(ColumnSettings):
    """A data set of the hub, a folder that `datasets` saved, or one that it knows how to read."""

    kind: Literal["datasets"]
    path: str
    name: str | None = None
    streaming: bool = False


class WebdatasetData(ColumnSettings):
    """Tar files of samples; each split is a path, with `*` or `{000..007}` for many, or a list of such."""

    kind: Literal["webdataset"]
    train: str | list[str]
    validation: str | list[str] | None = None
    test: str | list[str] | None = None
    streaming: bool = True


Kinds: TypeAlias = (
    PocketData
    | JsonlData
    | LlavaData
    | Vqav2Data
    | CocoCaptionsData
    | AudioCapsData
    | MsrVttData
    | HubData
    | WebdatasetData
)
Source: TypeAlias = Annotated[Kinds, Field(discriminator="kind")]


class MixPart(Settings):
    """One of the data sets of a mix, and how much of it there is in proportion to the others."""

    data: Source
    weight: PositiveFloat = 1.0


class MixData(Settings):
    """Several data sets in one, in the proportions of their weights; see `midstream.data.mixing`."""

    kind: Literal["mix"]
    parts: list[MixPart] = Field(min_length=1)
    seed: NonNegativeInt = 0
    limit: PositiveInt | None = None


Data: TypeAlias = Annotated[Kinds | MixData, Field(discriminator="kind")]
