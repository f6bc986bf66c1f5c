"""Midstream: give any pretrained language model new senses, entering at the layer where that pays."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midstream.configuration import MidstreamConfig
    from midstream.encoders import FeatureSpec
    from midstream.errors import InputError
    from midstream.modality import Modality
    from midstream.modeling import MidstreamForCausalLM
    from midstream.processing import MidstreamProcessor
    from midstream.schedule import Schedule, deep_insert, ep_alm, prepend, soft_prompt, window

__version__ = "0.1.0"

_HOMES = {
    "FeatureSpec": "encoders",
    "InputError": "errors",
    "Modality": "modality",
    "MidstreamConfig": "configuration",
    "MidstreamForCausalLM": "modeling",
    "MidstreamProcessor": "processing",
    **dict.fromkeys(("Schedule", "deep_insert", "ep_alm", "prepend", "soft_prompt", "window"), "schedule"),
}
__all__ = [
    "FeatureSpec",
    "InputError",
    "MidstreamConfig",
    "MidstreamForCausalLM",
    "MidstreamProcessor",
    "Modality",
    "Schedule",
    "deep_insert",
    "ep_alm",
    "prepend",
    "soft_prompt",
    "window",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `midstream --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'midstream' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"midstream.{_HOMES[name]}"), name)
