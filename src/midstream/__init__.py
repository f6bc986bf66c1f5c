"""Midstream: give any pretrained language model new senses, entering at the layer where that pays."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midstream.configuration import MidstreamConfig
    from midstream.encoders import FeatureSpec
    from midstream.errors import InputError
    from midstream.modality import Modality
    from midstream.modeling import MidstreamForCausalLM
    from midstream.presets import (
        deep_insert,
        deepstack,
        ep_alm,
        fastv,
        prepend,
        pyramid_drop,
        shortv,
        soft_prompt,
        vica,
        vtw,
        window,
    )
    from midstream.processing import MidstreamProcessor
    from midstream.retrofitting import retrofit
    from midstream.schedule import Keep, Schedule, Write

__version__ = "0.1.0"

_HOMES = {
    "FeatureSpec": "encoders",
    "InputError": "errors",
    "Modality": "modality",
    "MidstreamConfig": "configuration",
    "MidstreamForCausalLM": "modeling",
    "MidstreamProcessor": "processing",
    "retrofit": "retrofitting",
    **dict.fromkeys(("Keep", "Schedule", "Write"), "schedule"),
    **dict.fromkeys(("deep_insert", "deepstack", "ep_alm", "fastv", "prepend", "pyramid_drop"), "presets"),
    **dict.fromkeys(("shortv", "soft_prompt", "vica", "vtw", "window"), "presets"),
}
__all__ = [
    "FeatureSpec",
    "InputError",
    "Keep",
    "MidstreamConfig",
    "MidstreamForCausalLM",
    "MidstreamProcessor",
    "Modality",
    "Schedule",
    "Write",
    "deep_insert",
    "deepstack",
    "ep_alm",
    "fastv",
    "prepend",
    "pyramid_drop",
    "retrofit",
    "shortv",
    "soft_prompt",
    "vica",
    "vtw",
    "window",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `midstream --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'midstream' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"midstream.{_HOMES[name]}"), name)
