"""Messages or text with media to model inputs. Knows wording and media processors, not models.

A slot is written `<image>` in text (the modality's name in angle brackets) and never becomes a token: the text is cut
at the slots, and the text column before which each stands goes beside it in `image_slots`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoProcessor, AutoTokenizer, BatchFeature, PreTrainedTokenizerBase

from midstream.checkpoint import written_whole
from midstream.configuration import MidstreamConfig, resolve
from midstream.errors import InputError
from midstream.modeling import IGNORED
from midstream.part_names import encoder_source, lm_source
from midstream.preparing import OwnPreparer, medium_of, open_preparer, restore_preparer, wrap
from midstream.wording import Row as TextRow
from midstream.wording import Wording, says_something


class MidstreamProcessor:
    """Turns messages or text, with media, into the tensors `MidstreamForCausalLM` takes.

    Args:
        tokenizer: the LM's. It is set to pad on the left for prompts; training batches are padded on the right.
        processors: modality name -> a `Preparer`, or the encoder's own processor for a modality called after a medium.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, processors: Mapping[str, Any]) -> None:
        self.tokenizer = tokenizer
        self.processors = {name: wrap(name, processor) for name, processor in processors.items()}
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._wording = Wording(tokenizer, self.processors)

    @classmethod
    def from_model(cls, model: Any, tokenizer: PreTrainedTokenizerBase | None = None) -> "MidstreamProcessor":
        """The processors that belong to a model's LM and encoders.

        Raises:
            InputError: an encoder was given as a module, so its processor is unknown: build the processor yourself;
                or a setting of `prepare` does not fit.
        """
        config = model.config
        tokenizer = tokenizer or _load(AutoTokenizer, lm_source(config.lm), "tokenizer")
        processors = {}
        for name, part in (config.modalities or {}).items():
            encoder = model.modalities[name].encoder
            if encoder is not None:
                medium = part.get("medium") or medium_of(name, encoder.model)  # older configs do not say
                source = encoder_source(part["encoder"], medium, name)
                settings = part.get("prepare", {})
                if medium == OwnPreparer.medium:
                    settings = {"options": part.get("options", {})}
                processors[name] = open_preparer(medium, source, encoder.model, settings)
        return cls(tokenizer, processors)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer, and each media processor in a folder of its name, all or nothing."""
        with written_whole(folder) as scratch:
            self.tokenizer.save_pretrained(scratch)
            for name, processor in self.processors.items():
                processor.save(scratch / name)
            kinds = {n: {"medium": p.medium, **p.settings} for n, p in self.processors.items()}
            names = {"processor_class": type(self).__name__, "modalities": kinds}
            (scratch / "processor_config.json").write_text(json.dumps(names, indent=2))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> "MidstreamProcessor":
        """Inverse of `save_pretrained`.

        Raises:
            InputError: the folder holds no Midstream processor.
        """
        folder = Path(resolve(folder))
        try:
            names = json.loads((folder / "processor_config.json").read_text())["modalities"]
        except (OSError, ValueError, KeyError):
            raise InputError(
                f"{folder} holds no Midstream processor; give a folder that `midstream train` wrote"
            ) from None
        if isinstance(names, list):  # written before there were other media than images
            names = {name: {"medium": "image"} for name in names}
        processors = {
            name: restore_preparer(kind["medium"], str(folder / name), {k: v for k, v in kind.items() if k != "medium"})
            for name, kind in names.items()
        }
        return cls(_load(AutoTokenizer, str(folder), "tokenizer"), processors)

    def __call__(
        self,
        text: str | Sequence[str],
        images: Any = None,
        padding_side: str = "left",
        padding: bool = True,
        return_tensors: str = "pt",
        **kinds: Any,
    ) -> BatchFeature:
        """Prompts to tensors.

        Args:
            text: B prompts with slots such as `<image>`.
            images: for each prompt a list of pictures, one per slot; a single picture or flat list for one prompt.
            padding_side: "left" to generate, "right" as you like.
            padding: prompts of different lengths are always padded; the argument is here for Transformers' pipelines.
            return_tensors: "pt" only.
            kinds: the same for other modalities, by name.

        Returns:
            input_ids, attention_mask (B, T); per modality `{name}_slots` (B, S) and the encoder's inputs (B, S, ...).

        Raises:
            InputError: slots and media do not match in number, or nothing follows a slot that could read it.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise InputError("there is no text; give at least one prompt")
        given = {"image": images, **kinds} if images is not None else kinds
        media_of = {name: _per_row(value, len(texts), name) for name, value in given.items()}
        if not all(piece.strip() for piece in texts):
            raise InputError("the text is empty; ask a question")
        rows = [self._wording.encode([(piece, False)], special=True) for piece in texts]
        return self._batch(rows, [{n: m[i] for n, m in media_of.items()} for i in range(len(rows))], padding_side)

    def apply_chat_template(
        self, messages: Any, add_generation_prompt: bool = True, **kwargs: Any
    ) -> BatchFeature | str:
        """Conversations, with media in their parts, to tensors (or to text with `tokenize=False`).

        Args:
            messages: one conversation or a list of them, each a list of {"role", "content"}; content is a string or a
                list of parts such as {"type": "image", "image": path | bytes | PIL image}.

        Raises:
            InputError: as `__call__`; also an empty question or a modality the model lacks.
        """
        if not messages or not all(messages):
            raise InputError("there are no messages; a conversation has at least a question")
        batch = [messages] if isinstance(messages[0], Mapping) else messages
        if any(not says_something(conversation[-1]) for conversation in batch):
            raise InputError("the last message is empty; ask a question")
        texts = [self._wording.render(conversation, add_generation_prompt) for conversation in batch]
        if not kwargs.get("tokenize", True):
            return texts[0] if isinstance(messages[0], Mapping) else texts
        rows = [self._wording.encode([(text, False)], special=not self.tokenizer.chat_template) for text in texts]
        return self._batch(rows, [self._media_in(conversation) for conversation in batch], "left")

    def training_batch(self, rows: Sequence[Mapping[str, Any]], multiple: int = 1) -> BatchFeature:
        """Conversations to tensors with `labels`: only what the assistant says, and the end of its turn, is learnt.

        Args:
            multiple: the number of text columns is rounded up to a multiple of it.
        """
        special = not self.tokenizer.chat_template  # a tokenizer's own template writes BOS where it wants it
        encoded = [self._wording.encode(self._wording.turns(row["messages"]), special) for row in rows]
        return self._batch(encoded, [self._media_in(row["messages"]) for row in rows], "right", True, multiple)

    def batch_decode(self, ids: Any, **kwargs: Any) -> list[str]:
        """The tokenizer's."""
        return self.tokenizer.batch_decode(ids, **kwargs)

    def post_process_image_text_to_text(self, ids: Any, **kwargs: Any) -> list[str]:
        """What Transformers' `image-text-to-text` pipeline calls to read an answer."""
        kwargs.pop("clean_up_tokenization_spaces", None)
        return self.tokenizer.batch_decode(ids, **{"skip_special_tokens": True, **kwargs})

    def _media_in(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for message in messages:
            for part in message["content"] if not isinstance(message["content"], str) else ():
                if (kind := part["type"]) != "text":
                    if kind not in self.processors:
                        raise InputError(f"the model has no {kind}; it has {sorted(self.processors) or 'text only'}")
                    found.setdefault(kind, []).append(part.get(kind))
        return found

    def _batch(
        self,
        rows: Sequence[TextRow],
        media_of: Sequence[Mapping[str, Any]],
        padding_side: str,
        labels: bool = False,
        multiple: int = 1,
    ) -> BatchFeature:
        for row, given in zip(rows, media_of, strict=True):
            _check(row, given, self.processors)
        width = -(-max(len(row.ids) for row in rows) // multiple) * multiple
        shifts = [width - len(row.ids) if padding_side == "left" else 0 for row in rows]
        data: dict[str, Tensor] = {
            "input_ids": _pad([row.ids for row in rows], shifts, width, self.tokenizer.pad_token_id),
            "attention_mask": _pad([[1] * len(row.ids) for row in rows], shifts, width, 0),
        }
        if labels:
            learnt = [[i if keep else IGNORED for i, keep in zip(row.ids, row.learnt, strict=True)] for row in rows]
            data["labels"] = _pad(learnt, shifts, width, IGNORED)
        for name in self.processors:
            slots = [[column + shift for column in row.slots[name]] for row, shift in zip(rows, shifts, strict=True)]
            if any(slots):
                most = max(len(columns) for columns in slots)
                data[f"{name}_slots"] = _pad(slots, [0] * len(rows), most, -1)
                items = [item for given in media_of for item in given.get(name) or ()]
                for key, value in self.processors[name](items).items():
                    data[f"{name}_{key}"] = _spread(value, data[f"{name}_slots"] >= 0)
        return BatchFeature(data)


def _check(row: TextRow, given: Mapping[str, Any], processors: Mapping[str, Any]) -> None:
    for name in {*row.slots, *given}:
        if name not in processors:
            raise InputError(f"the model has no {name}; it has {sorted(processors) or 'text only'}")
        slots, items = len(row.slots[name]), len(given.get(name) or ())
        if slots != items:
            raise InputError(
                f"the text has {slots} <{name}> slots, but {items} were given; write one <{name}> for each {name}"
            )
        if slots and row.slots[name][-1] >= len(row.ids):
            raise InputError(f"the text ends with <{name}>, so nothing can read it; put the question after the {name}")
    if not row.ids:
        raise InputError("the text is empty; ask a question")


def _pad(rows: Sequence[Sequence[int]], shifts: Sequence[int], width: int, fill: int) -> Tensor:
    out = torch.full((len(rows), width), fill, dtype=torch.long)
    for index, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
        out[index, shift : shift + len(row)] = torch.tensor(row, dtype=torch.long)
    return out


def _spread(items_N: Tensor, filled_BS: Tensor) -> Tensor:
    """(N, ...) to (B, S, ...) in row-major order of the filled slots."""
    out = items_N.new_zeros(*filled_BS.shape, *items_N.shape[1:])
    out[filled_BS] = items_N
    return out


def _per_row(value: Any, rows: int, name: str) -> list[list[Any]]:
    if not isinstance(value, list | tuple):
        value = [value]
    if rows == 1 and not (len(value) == 1 and isinstance(value[0], list | tuple)):
        return [list(value)]
    if len(value) != rows:
        raise InputError(f"{rows} texts came with {name} media for {len(value)}; give one list for each text")
    return [list(item) if isinstance(item, list | tuple) else [] if item is None else [item] for item in value]


def _load(auto: Any, source: str, what: str) -> Any:
    try:
        return auto.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise InputError(f"{what} {source!r} cannot be loaded: {str(error).splitlines()[0]}") from None


AutoProcessor.register(MidstreamConfig, MidstreamProcessor, exist_ok=True)
