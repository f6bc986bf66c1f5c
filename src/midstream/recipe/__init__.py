"""A recipe: one run, fully described. Settings, how they are read, and what is refused. Knows no torch and no model."""

from midstream.recipe.data import (
    AudioCapsData,
    CocoCaptionsData,
    Data,
    HubData,
    JsonlData,
    LlavaData,
    MixData,
    MixPart,
    MsrVttData,
    PocketData,
    Vqav2Data,
    WebdatasetData,
)
from midstream.recipe.modalities import Connector, Features, ModalitySettings
from midstream.recipe.reading import SHELF, load_recipe, parse_recipe, shipped_names
from midstream.recipe.schedules import ScheduleSettings
from midstream.recipe.tree import Evaluation, Recipe, Smoke, Training

__all__ = [
    "SHELF",
    "AudioCapsData",
    "CocoCaptionsData",
    "Connector",
    "Data",
    "Evaluation",
    "Features",
    "HubData",
    "JsonlData",
    "LlavaData",
    "MixData",
    "MixPart",
    "ModalitySettings",
    "MsrVttData",
    "PocketData",
    "Recipe",
    "ScheduleSettings",
    "Smoke",
    "Training",
    "Vqav2Data",
    "WebdatasetData",
    "load_recipe",
    "parse_recipe",
    "shipped_names",
]
