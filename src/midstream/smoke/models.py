"""Random models of the architectures that a recipe names, with their own processors, in Hugging Face format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from midstream import pocket
from midstream.errors import InputError
from midstream.recipe import Recipe


def language_model(recipe: Recipe, folder: Path) -> str:
    """Write the stand-in for a recipe's LM, with the pocket tokenizer; returns its folder.

    Raises:
        InputError: the recipe has no `smoke.lm`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if recipe.smoke.lm is None:
        raise InputError(
            f"recipe {recipe.name} has no smoke.lm to stand in for {recipe.lm}; give its config's settings"
        )
    tokenizer = AutoTokenizer.from_pretrained(str(pocket.lm_path()))
    tokenizer.chat_template = recipe.smoke.chat_template
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(**recipe.smoke.lm, vocab_size=len(tokenizer), **ids)
    _random(AutoModelForCausalLM, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder.resolve())


def encoder(recipe: Recipe, name: str, medium: str, folder: Path) -> str:
    """Write the stand-in for a modality's encoder, with its family's own processor; returns its folder.

    Args:
        name: the modality's.
        medium: what its files are.

    Raises:
        InputError: the recipe has no `smoke.encoders` for it.
    """
    from transformers import AutoConfig, AutoModel

    settings = recipe.smoke.encoders.get(name)
    if settings is None:
        wanted = recipe.modalities[name].encoder
        raise InputError(f"recipe {recipe.name} has no smoke.encoders.{name} to stand in for {wanted}")
    processor = None
    if medium == "molecule":
        from transformers import AutoTokenizer

        processor = AutoTokenizer.from_pretrained(str(pocket.encoder_path("molecule")))
        settings = {**settings, "vocab_size": len(processor), "pad_token_id": processor.pad_token_id}
    config = AutoConfig.for_model(**settings)
    _random(AutoModel, config).save_pretrained(folder)
    if medium in PROCESSORS:
        processor = PROCESSORS[medium](config)
    if processor is not None:
        processor.save_pretrained(folder)
    return str(folder.resolve())


def _random(auto: Any, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return auto.from_config(config)


def _image_processor(config: Any) -> Any:
    """The family's own image processor, for small square pictures; the `pil` one needs no torchvision."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    size = getattr(config, "vision_config", config).image_size
    names = IMAGE_PROCESSOR_MAPPING_NAMES[config.model_type]
    square, shortest = {"height": size, "width": size}, {"shortest_edge": size}
    cropped = names["pil"].startswith(("CLIP", "VideoMAE"))
    sizes = {"crop_size": square, "size": shortest} if cropped else {"size": square}
    return getattr(transformers, names["pil"])(**sizes)


def _feature_extractor(config: Any) -> Any:
    """The family's own feature extractor, for as long a sound as the encoder reads."""
    import transformers
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    lengths: dict[str, Callable[[], dict[str, Any]]] = {
        "audio-spectrogram-transformer": lambda: {
            "num_mel_bins": config.num_mel_bins,
            "max_length": config.max_length,
        },
        "whisper": lambda: {
            "feature_size": config.num_mel_bins,
            "chunk_length": config.max_source_positions // 50,  # 50 positions a second
        },
    }
    settings = lengths.get(config.model_type, dict)()
    return getattr(transformers, FEATURE_EXTRACTOR_MAPPING_NAMES[config.model_type])(**settings)


PROCESSORS: dict[str, Callable[[Any], Any]] = {
    "image": _image_processor,
    "video": _image_processor,
    "audio": _feature_extractor,
}
"""Medium -> what makes the processor of an encoder's config; a series needs none."""
