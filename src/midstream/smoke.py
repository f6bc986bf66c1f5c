"""`--smoke`: any recipe in seconds, without a hub.

Owns the stand-ins: random models of the same architectures, equally deep but tiny in width, in Hugging Face format, and
a few generated rows in the layout of the data set on disk. From there on nothing knows that it is a smoke run: the same
loading, training, saving and evaluating code runs.
"""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from midstream import pocket
from midstream.data.formats import read_jsonl
from midstream.errors import InputError
from midstream.media import load_image
from midstream.own import is_known
from midstream.recipe import Recipe, parse_recipe

ROWS = 8
COLOURS = ("red", "green", "blue", "yellow")
LIMITS: dict[str, dict[str, Any]] = {
    "training": {"steps": 3, "batch_size": 2, "gradient_accumulation": 1, "save_every": 2, "log_every": 1},
    "evaluation": {"n": 4, "batch_size": 4, "max_new_tokens": 4},
}
OWN = ("pocket", "soft_prompt")
"""Parts that need no stand-in."""


def smoke(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe, cut down to a few steps, with stand-ins for what is not at hand.

    Args:
        recipe: any recipe.
        folder: where stand-ins are written; the returned recipe and the trained model point into it.

    Raises:
        InputError: the recipe does not say (in its `smoke` section) what stands in for a part.
    """
    tree = recipe.model_dump(mode="json")
    for section, limits in LIMITS.items():
        tree[section] |= limits
    if recipe.lm not in OWN:
        tree["lm"] = _language_model(recipe, folder / "lm")
    for name, modality in recipe.modalities.items():
        if modality.encoder not in OWN and not is_known(modality.encoder):
            tree["modalities"][name]["encoder"] = _encoder(recipe, name, folder / name)
    if any(is_known(modality.encoder) for modality in recipe.modalities.values()):
        tree["data"] |= {"limit": ROWS}  # what an item is, only its class knows: the first rows of the data themselves
    else:
        tree["data"] |= _DATA[recipe.data.kind](folder / "data", recipe)
    tree["evaluation"] |= {"split": "validation"}
    return parse_recipe(tree, "smoke recipe")


def _language_model(recipe: Recipe, folder: Path) -> str:
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


def _encoder(recipe: Recipe, name: str, folder: Path) -> str:
    from transformers import AutoConfig, AutoModel

    settings = recipe.smoke.encoders.get(name)
    if settings is None:
        encoder = recipe.modalities[name].encoder
        raise InputError(f"recipe {recipe.name} has no smoke.encoders.{name} to stand in for {encoder}")
    config = AutoConfig.for_model(**settings)
    _random(AutoModel, config).save_pretrained(folder)
    size = getattr(config, "vision_config", config).image_size
    _image_processor(config.model_type, size).save_pretrained(folder)
    return str(folder.resolve())


def _random(auto: Any, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return auto.from_config(config)


def _image_processor(model_type: str, size: int) -> Any:
    """The family's own image processor, for small square pictures; the `pil` one needs no torchvision."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    names = IMAGE_PROCESSOR_MAPPING_NAMES[model_type]
    square = {"height": size, "width": size}
    cropped = {"crop_size": square, "size": {"shortest_edge": size}} if model_type == "clip" else {"size": square}
    return getattr(transformers, names["pil"])(**cropped)


def _picture(path: Path, index: int) -> str:
    """A JPEG of one colour; returns the colour's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = COLOURS[index % len(COLOURS)]
    Image.new("RGB", (40 + index, 36), colour).save(path)
    return colour


def _write(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def _vqav2(root: Path, recipe: Recipe) -> dict[str, Any]:
    for split in ("train", "val"):
        name = f"{split}2014"
        questions, annotations = [], []
        for i in range(ROWS):
            colour = _picture(root / name / f"COCO_{name}_{i:012d}.jpg", i)
            keys = {"image_id": i, "question_id": 1000 + i}
            questions.append({**keys, "question": "What color is this?"})
            answers = [{"answer": colour, "answer_confidence": "yes", "answer_id": k + 1} for k in range(10)]
            kinds = {"question_type": "what color is", "answer_type": "other"}
            annotations.append({**keys, **kinds, "multiple_choice_answer": colour, "answers": answers})
        head = {"data_type": "mscoco", "data_subtype": name}
        _write(root / f"v2_OpenEnded_mscoco_{name}_questions.json", {**head, "questions": questions})
        _write(root / f"v2_mscoco_{name}_annotations.json", {**head, "annotations": annotations})
    return {"root": str(root)}


def _llava(root: Path, recipe: Recipe) -> dict[str, Any]:
    files = {}
    for split in ("train", "validation"):
        rows = []
        for i in range(ROWS):
            name = f"{split}/{i:09d}.jpg"
            colour = _picture(root / "images" / name, i)
            asked = [
                {"from": "human", "value": "<image>\nWhat color is this?"},
                {"from": "gpt", "value": f"It is {colour}."},
            ]
            more = [{"from": "human", "value": "Are you sure?"}, {"from": "gpt", "value": "Yes."}]
            rows.append({"id": f"{split}-{i}", "image": name, "conversations": asked + (more if i % 2 else [])})
        files[split] = _write(root / f"{split}.json", rows)
    return {**files, "images": str(root / "images")}


def _coco_captions(root: Path, recipe: Recipe) -> dict[str, Any]:
    year = getattr(recipe.data, "year", 2017)
    for split in ("train", "val"):
        name = f"{split}{year}"
        images, annotations = [], []
        for i in range(ROWS):
            colour = _picture(root / name / f"{i:012d}.jpg", i)
            images.append({"id": i, "file_name": f"{i:012d}.jpg"})
            annotations += [{"id": 5 * i + k, "image_id": i, "caption": f"something {colour}"} for k in range(5)]
        _write(root / "annotations" / f"captions_{name}.json", {"images": images, "annotations": annotations})
    return {"root": str(root)}


def _jsonl(root: Path, recipe: Recipe) -> dict[str, Any]:
    files = {}
    for split in ("train", "validation"):
        lines = []
        for i in range(ROWS):
            colour = _picture(root / f"{split}-{i}.jpg", i)
            parts = [{"type": "image", "image": f"{split}-{i}.jpg"}, {"type": "text", "text": "what colour is this?"}]
            lines.append({"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": colour}]})
        path = root / f"{split}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        files[split] = str(path)
    return {**files, "images": str(root)}


def _datasets(root: Path, recipe: Recipe) -> dict[str, Any]:
    import datasets

    files = _jsonl(root / "rows", recipe)
    splits = {}
    for split in ("train", "validation"):
        rows = list(read_jsonl(Path(files[split])))
        entries = []
        for row in rows:
            picture = load_image(row["messages"][0]["content"][0].pop("image"))
            row["messages"][1]["content"] = [{"type": "text", "text": row["messages"][1]["content"]}]
            entries.append({"messages": row["messages"], "images": [picture]})
        splits[split] = datasets.Dataset.from_list(entries)
    datasets.DatasetDict(splits).save_to_disk(str(root / "saved"))
    return {"path": str(root / "saved"), "name": None}


_DATA: dict[str, Any] = {
    "pocket": lambda root, recipe: {"scenes": ROWS, "questions": 2},
    "vqav2": _vqav2,
    "llava": _llava,
    "coco_captions": _coco_captions,
    "jsonl": _jsonl,
    "datasets": _datasets,
}
