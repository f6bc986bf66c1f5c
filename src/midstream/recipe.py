"""A recipe: one run, fully described. The tree of settings, how it is read, and what is refused.

Owns names, types and defaults, and says in words what is wrong with a file. Knows no torch, no model and no data set.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from midstream.errors import InputError
from midstream.recipe_errors import explain

SHIPPED = Path(__file__).parent / "recipes"


class Settings(BaseModel):
    """Base of every node: unknown keys are refused, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Features(Settings):
    """Which encoder features are used (see `midstream.encoders.FeatureSpec`)."""

    layers: list[int] = [-1]
    tokens: Literal["patches", "cls", "all"] = "patches"
    norm: bool = False


class Linear(Settings):
    """`midstream.connectors.LinearConnector`."""

    kind: Literal["linear"] = "linear"
    per_level: bool = False


class MLP(Settings):
    """`midstream.connectors.MLPConnector`."""

    kind: Literal["mlp"]
    hidden: PositiveInt | None = None
    norm: bool = True


class Resampler(Settings):
    """`midstream.connectors.ResamplerConnector`."""

    kind: Literal["resampler"]
    queries: PositiveInt = 16
    depth: PositiveInt = 2
    heads: PositiveInt = 4
    hidden: PositiveInt | None = None


class SoftPrompt(Settings):
    """`midstream.connectors.SoftPrompt`: learned vectors, no encoder."""

    kind: Literal["soft_prompt"]
    tokens: PositiveInt = 10
    hidden: PositiveInt | None = None


class PrependSchedule(Settings):
    """`midstream.schedule.prepend`."""

    preset: Literal["prepend"]


class DeepInsertSchedule(Settings):
    """`midstream.schedule.deep_insert`."""

    preset: Literal["deep_insert"]
    layer: NonNegativeInt


class WindowSchedule(Settings):
    """`midstream.schedule.window`."""

    preset: Literal["window"]
    first: NonNegativeInt
    last: PositiveInt


class EpAlmSchedule(Settings):
    """`midstream.schedule.ep_alm`."""

    preset: Literal["ep_alm"]
    first: NonNegativeInt
    last: NonNegativeInt
    levels: PositiveInt


class SoftPromptSchedule(Settings):
    """`midstream.schedule.soft_prompt`."""

    preset: Literal["soft_prompt"]


Connector: TypeAlias = Annotated[Linear | MLP | Resampler | SoftPrompt, Field(discriminator="kind")]
ScheduleSettings: TypeAlias = Annotated[
    PrependSchedule | DeepInsertSchedule | WindowSchedule | EpAlmSchedule | SoftPromptSchedule,
    Field(discriminator="preset"),
]


class ModalitySettings(Settings):
    """One modality: a frozen encoder, what is read from it, the trained connector, and where its tokens live."""

    encoder: str
    features: Features = Features()
    connector: Connector = Linear()
    schedule: ScheduleSettings


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


class Training(Settings):
    """Optimisation: AdamW with a schedule per step."""

    steps: PositiveInt
    batch_size: PositiveInt = 32
    gradient_accumulation: PositiveInt = 1
    lr: PositiveFloat = 1e-3
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    weight_decay: NonNegativeFloat = 0.01
    max_grad_norm: PositiveFloat = 0.8
    seed: NonNegativeInt = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    cache_features: bool = False
    save_every: PositiveInt = 500
    log_every: PositiveInt = 20


class Evaluation(Settings):
    """What `midstream eval` does by default."""

    split: str = "validation"
    n: PositiveInt = 500
    batch_size: PositiveInt = 64
    max_new_tokens: PositiveInt = 16
    metric: Literal["exact", "vqa", "f1"] = "exact"
    history: bool = False
    seed: NonNegativeInt = 0


class Smoke(Settings):
    """How `--smoke` stands in for models that are not at hand: settings of `transformers` configs, weights random."""

    lm: dict[str, Any] | None = None
    chat_template: str | None = None
    encoders: dict[str, dict[str, Any]] = {}


class Recipe(Settings):
    """The whole tree. `name` is the file's; everything else stands in it."""

    name: str = "recipe"
    description: str = ""
    lm: str
    positions: Literal["merged", "shifted", "compact"] = "merged"
    modalities: dict[str, ModalitySettings] = Field(min_length=1)
    data: Data
    training: Training
    evaluation: Evaluation = Evaluation()
    smoke: Smoke = Smoke()

    def to_yaml(self) -> str:
        """The recipe as a file that `load_recipe` reads back to an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def shipped_names() -> list[str]:
    """Names that `load_recipe` knows without a file."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        source: a shipped name, or the path of a YAML file.
        overrides: `dotted.key=value`, values read as YAML.

    Raises:
        InputError: no such recipe, not YAML, unknown keys (with a suggestion), wrong types.
    """
    path = _find(str(source))
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise InputError(f"recipe {path} must be a mapping with lm, modalities, data and training")
    tree.setdefault("name", path.stem)
    for override in overrides or []:
        _set(tree, override)
    return parse_recipe(tree, f"recipe {source}")


def parse_recipe(tree: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from a plain mapping.

    Raises:
        InputError: unknown keys (with a suggestion) or wrong types; names the dotted key.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, tree, Recipe)}") from None


def _find(source: str) -> Path:
    shipped = SHIPPED / f"{source}.yaml"
    if shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    path = Path(source)
    if path.is_file():
        return path
    from difflib import get_close_matches

    close = get_close_matches(source, shipped_names(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"shipped recipes are {', '.join(shipped_names())}"
    raise InputError(f"there is no recipe {source!r}, neither shipped nor a file; {hint}")


def _set(tree: dict[str, Any], override: str) -> None:
    """Write one `a.b=c` into the tree. Whether the key exists is checked with everything else, afterwards."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override!r} must look like training.steps=100")
    *parents, last = key.strip().split(".")
    node = tree
    for depth, parent in enumerate(parents):
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise InputError(
                f"--set {override}: {'.'.join(parents[: depth + 1])} is a value, so it has no key {last!r}"
            )
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: {text!r} is not a YAML value") from None
