"""What of a model is trained, and how it is described, saved and put back: connectors and adapters, nothing frozen."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.checkpoint import save_weights, written_whole
from midstream.configuration import MidstreamConfig
from midstream.engine import Engine
from midstream.errors import InputError


class Saving(PreTrainedModel):
    """The trained part of a model, by name."""

    lm: PreTrainedModel
    modalities: Any
    engine: Engine

    def load_trained(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Put trained tensors in place; every one of them, and no other.

        Raises:
            InputError: names or shapes do not match this model.
        """
        own = self.trained_tensors()
        wrong = sorted(set(own) ^ set(tensors)) + [
            key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape
        ]
        if wrong:
            raise InputError(
                f"{source!r} does not fit its config: {', '.join(wrong[:3])} are missing or of another shape"
            )
        self.load_state_dict(dict(tensors), strict=False)

    def describe_schedules(self) -> str:
        """The schedules, a column a layer; the signs are those of `Schedule.draw`."""
        depth = len(self.engine.anatomy.layers)
        width = max(map(len, ["layer", *self.engine.schedules]))
        ruler = "".join(str(layer % 10) for layer in range(depth))
        lines = [f"{'layer':{width}}  {ruler}", f"{'text':{width}}  {'#' * depth}"]
        lines += [f"{name:{width}}  {schedule.draw(depth)}" for name, schedule in self.engine.schedules.items()]
        return "\n".join(lines)

    def trainable_summary(self) -> list[tuple[str, int, int]]:
        """Each part with its frozen and its trained parameters: [(part, frozen, trained)], the LM first."""
        parts: list[tuple[str, nn.Module]] = [("language model", self.lm)]
        for name, modality in self.modalities.items():
            if modality.encoder is not None:
                parts.append((f"{name} encoder", modality.encoder))
            parts.append((f"{name} connector", modality.connector))
        return [(part, _count(module, False), _count(module, True)) for part, module in parts]

    def trained_tensors(self) -> dict[str, Tensor]:
        """The tensors that are trained and saved, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write `config.json` and the connectors' safetensors, all or nothing.

        Args:
            save_directory: created when missing.
            kwargs: `push_to_hub`, `repo_id` and the like go to Transformers; `state_dict` is ignored, since only
                what is trained is saved.

        Raises:
            InputError: the disk is full or not writable; nothing is left half-written.
        """
        with written_whole(save_directory) as folder:
            self.config.architectures = [type(self).__name__]
            self.config.save_pretrained(folder)
            save_weights(folder, self.trained_tensors(), trained_for(self.config))
        if kwargs.get("push_to_hub"):
            self.push_to_hub(kwargs.get("repo_id") or Path(save_directory).name, token=kwargs.get("token"))


def trained_for(config: MidstreamConfig) -> dict[str, str]:
    """What connectors are good for and no other: the schedules, features and positions, as text to compare."""
    noted = {"positions": config.positions}
    for name, part in (config.modalities or {}).items():
        noted[f"{name} schedule"] = json.dumps(part["schedule"], sort_keys=True)
        noted[f"{name} features"] = json.dumps(part.get("features"), sort_keys=True)
    return noted


def _count(module: nn.Module, trained: bool) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad == trained)
