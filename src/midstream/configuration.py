"""`MidstreamConfig`: which frozen parts a model is made of and how its modalities join them. Plain data on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from midstream import pocket
from midstream.errors import InputError


class MidstreamConfig(PreTrainedConfig):
    """Names the frozen parts and says how the modalities join them.

    Args:
        lm: id or folder of the language model.
        lm_fingerprint: what the connectors were trained against.
        text_config: the LM's own config.
        modalities: name -> {encoder, features, connector, schedule, fingerprint}, plain data.
        adapters: LoRA or IA3 in the LM's layers, where they are trained with the connectors.
        positions: how text and tokens share position ids; see `engine.Engine`.
    """

    model_type = "midstream"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012 - the name and type are Transformers'

    lm: str = ""
    lm_fingerprint: dict[str, Any] | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    modalities: dict[str, Any] | None = None
    adapters: dict[str, Any] | None = None
    positions: str = "merged"

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.text_config, Mapping):
            self.text_config = AutoConfig.for_model(**self.text_config)
        super().__post_init__(**kwargs)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The config that caches and masks are made from: the LM's."""
        if not isinstance(self.text_config, PreTrainedConfig):
            return self
        return self.text_config.get_text_config(decoder=decoder, encoder=encoder)


def resolve(source: str | Path) -> str | Path:
    """The folder of a shipped model, or `source` itself."""
    return pocket.model_path(str(source)) if str(source) in pocket.model_names() else source


def load_config(source: str | Path) -> MidstreamConfig:
    """Read the config of a saved model.

    Raises:
        InputError: there is none at `source`, or it is another kind of model's.
    """
    try:
        values, _ = PreTrainedConfig.get_config_dict(str(resolve(source)))
    except OSError as error:
        raise InputError(f"{str(source)!r} is no Midstream model: {str(error).splitlines()[0]}") from None
    if values.get("model_type") != MidstreamConfig.model_type:
        raise InputError(
            f"{str(source)!r} holds a {values.get('model_type', 'model without a type')}, not a Midstream model; "
            f"give a folder that `midstream train` or save_pretrained wrote"
        )
    return MidstreamConfig.from_dict(values)


AutoConfig.register(MidstreamConfig.model_type, MidstreamConfig, exist_ok=True)
