"""The whole tree of a recipe: parts, data, optimisation, evaluation. Owns names, types and defaults; reads no file."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from midstream.recipe.data import Data
from midstream.recipe.modalities import ModalitySettings
from midstream.recipe.node import Settings


class Training(Settings):
    """Optimisation: AdamW with a schedule per step.

    `cache` says what is computed once and read back in every epoch: nothing, the encoders' `features`, or also the
    text's hidden `states` at the lowest entry layer; `cache_precision` whether as computed or in half the bytes.
    """

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
    cache: Literal["none", "features", "states"] = "none"
    cache_precision: Literal["exact", "bfloat16"] = "exact"
    save_every: PositiveInt = 500
    log_every: PositiveInt = 20


class Evaluation(Settings):
    """What `midstream eval` does by default."""

    split: str = "validation"
    n: PositiveInt = 500
    batch_size: PositiveInt = 64
    max_new_tokens: PositiveInt = 16
    metric: Literal["exact", "vqa", "f1", "bleu1", "bleu2", "bleu3", "bleu4", "rougeL", "cider"] = "exact"
    history: bool = False
    seed: NonNegativeInt = 0


class Smoke(Settings):
    """How `--smoke` stands in for models that are not at hand: settings of `transformers` configs, weights random."""

    lm: dict[str, Any] | None = None
    chat_template: str | None = None
    encoders: dict[str, dict[str, Any]] = Field(default={})


class Adapters(Settings):
    """LoRA or IA3 in the LM's layers from `first` on (by default the lowest entry layer): `midstream.adapters`."""

    kind: Literal["lora", "ia3"] = "lora"
    rank: PositiveInt = 8
    alpha: PositiveFloat | None = None
    first: NonNegativeInt | None = None
    targets: list[str] | None = None


class Recipe(Settings):
    """The whole tree. `name` is the file's; everything else stands in it."""

    name: str = "recipe"
    description: str = ""
    lm: str
    positions: Literal["merged", "shifted", "compact"] = "merged"
    modalities: dict[str, ModalitySettings] = Field(min_length=1)
    adapters: Adapters | None = None
    data: Data
    training: Training
    evaluation: Evaluation = Evaluation()
    smoke: Smoke = Smoke()

    def to_yaml(self) -> str:
        """The recipe as a file that `load_recipe` reads back to an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
