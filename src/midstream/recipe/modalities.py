"""The settings of a modality: encoder features, connector, schedule. Tests compare them with the code they name."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveInt

from midstream.recipe.node import Settings
from midstream.recipe.schedules import ScheduleSettings


class Features(Settings):
    """Which encoder features are used (see `midstream.encoders.FeatureSpec`)."""

    layers: list[int] = Field(default=[-1])
    tokens: Literal["patches", "cls", "all"] = "patches"
    norm: bool = False
    pool: PositiveInt = 1
    noise: bool = False


class Linear(Settings):
    """`midstream.connectors.LinearConnector`; `times` as in `midstream.connectors.TimedConnector`."""

    kind: Literal["linear"] = "linear"
    times: PositiveInt | None = None
    per_level: bool = False


class Identity(Settings):
    """`midstream.connectors.IdentityConnector`."""

    kind: Literal["identity"]
    times: PositiveInt | None = None


class MLP(Settings):
    """`midstream.connectors.MLPConnector`."""

    kind: Literal["mlp"]
    times: PositiveInt | None = None
    hidden: PositiveInt | None = None
    norm: bool = True


class Resampler(Settings):
    """`midstream.connectors.ResamplerConnector`."""

    kind: Literal["resampler"]
    times: PositiveInt | None = None
    queries: PositiveInt = 16
    depth: PositiveInt = 2
    heads: PositiveInt = 4
    hidden: PositiveInt | None = None


class SoftPrompt(Settings):
    """`midstream.connectors.SoftPrompt`: learned vectors, no encoder."""

    kind: Literal["soft_prompt"]
    tokens: PositiveInt = 10
    hidden: PositiveInt | None = None


Connector: TypeAlias = Annotated[Linear | Identity | MLP | Resampler | SoftPrompt, Field(discriminator="kind")]


class ModalitySettings(Settings):
    """One modality: a frozen encoder, what is read from it, the trained connector, and where its tokens live.

    `medium` says what its files are where neither its name nor its encoder does, `prepare` how they are prepared (see
    `midstream.preparing`), `options` what the encoder is loaded with.
    """

    encoder: str
    medium: str | None = None
    prepare: dict[str, Any] = Field(default={})
    options: dict[str, Any] = Field(default={})
    features: Features = Features()
    connector: Connector = Linear()
    schedule: ScheduleSettings
