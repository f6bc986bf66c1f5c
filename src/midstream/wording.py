"""Conversations to token ids, cut at the slots, by the LM's tokenizer and its chat template. Knows no media."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from midstream.errors import InputError

DEFAULT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}Question: {{ message['content'] }}\n"
    "{% elif message['role'] == 'assistant' %}Answer: {{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"
)
"""How a conversation is written for an LM whose tokenizer has no chat template."""


@dataclass(slots=True)
class Row:
    """One tokenised text: ids, which of them are to be learnt, and where slots stand."""

    ids: list[int] = field(default_factory=list)
    learnt: list[bool] = field(default_factory=list)
    slots: dict[str, list[int]] = field(default_factory=dict)


class Wording:
    """How an LM is written to.

    Args:
        tokenizer: the LM's.
        names: of the modalities; each one's slot is its name in angle brackets.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, names: Collection[str]) -> None:
        self.tokenizer = tokenizer
        self.names = tuple(names)
        self._takes_parts = _template_takes_parts(tokenizer, self.names)
        self._prefix = _leading_ids(tokenizer)
        self._turn_by_turn = self._writes_turn_by_turn()

    def turns(self, messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
        """The conversation's text in pieces, each with whether it is learnt.

        Raises:
            InputError: nobody answers, or the template changes what was said before.
        """
        pieces: list[tuple[str, bool]] = []
        first, done = 0, ""
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.render(messages[first:index], True)
            whole = self.render(messages[first : index + 1], False)
            if not (prompt.startswith(done) and whole.startswith(prompt)):
                raise InputError("the chat template rewrites earlier turns; split the conversation into single turns")
            pieces += [(prompt[len(done) :], False), (whole[len(prompt) :], True)]
            first, done = (index + 1, "") if self._turn_by_turn else (0, whole)
        if not pieces:
            raise InputError("a training row has no assistant turn, so there is nothing to learn")
        return pieces

    def _writes_turn_by_turn(self) -> bool:
        """Whether the template writes a turn the same whatever came before, so that long conversations are quick."""
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        try:
            once = self.render(turns, False)
            return self.render(turns + turns, False) == once + once and self.render(
                turns + turns[:1], True
            ) == once + self.render(turns[:1], True)
        except Exception:  # a template may fail in any way on what it does not know
            return False

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        """The conversation as the LM's template writes it, with slots for its media."""
        plain = [
            dict(message) if self._takes_parts else {**message, "content": _flat(message["content"])}
            for message in messages
        ]
        template = None if self.tokenizer.chat_template else DEFAULT_TEMPLATE
        return self.tokenizer.apply_chat_template(
            plain, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
        )

    def encode(self, pieces: Sequence[tuple[str, bool]], special: bool = False) -> Row:
        """Tokenise pieces, cutting at slots.

        Args:
            pieces: text, and whether it is learnt.
            special: put what the tokenizer puts in front of any text (BOS) there.
        """
        row = Row(slots={name: [] for name in self.names})
        if special:
            row.ids, row.learnt = list(self._prefix), [False] * len(self._prefix)
        for text, learnt in pieces:
            for part in _cut(text, self.names):
                if part in row.slots:
                    row.slots[part].append(len(row.ids))
                else:
                    ids = self.tokenizer(part.removeprefix("\0"), add_special_tokens=False)["input_ids"]
                    row.ids += ids
                    row.learnt += [learnt] * len(ids)
        return row


def says_something(message: Mapping[str, Any]) -> bool:
    """Whether a message has media or words."""
    content = message["content"]
    if isinstance(content, str):
        return bool(content.strip())
    return any(part["type"] != "text" or part["text"].strip() for part in content)


def _flat(content: Any) -> str:
    """Parts as one string with slots, for chat templates that know text only."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else f"<{part['type']}>\n" for part in content)


def _cut(text: str, names: Collection[str]) -> list[str]:
    """Cut at slots: `["<b>text", name, ...]`; text pieces are marked with a NUL so that none can pass for a name."""
    parts = ["\0" + text]
    for name in names:
        cut: list[str] = []
        for part in parts:
            if not part.startswith("\0"):
                cut.append(part)
                continue
            first, *others = part.split(f"<{name}>")
            cut.append(first)
            for other in others:
                cut += [name, "\0" + other]
        parts = cut
    return [part for part in parts if part != "\0"]


def _template_takes_parts(tokenizer: PreTrainedTokenizerBase, names: Collection[str]) -> bool:
    """Whether the chat template itself writes the slot (`<image>`) for a part of each modality."""
    if not tokenizer.chat_template:
        return False
    parts = [{"type": name} for name in names] or [{"type": "image"}]
    probe = [{"role": "user", "content": [*parts, {"type": "text", "text": "probe"}]}]
    try:
        text = tokenizer.apply_chat_template(probe, tokenize=False)
    except Exception:  # a template may fail in any way on content it does not know
        return False
    written = all(text.count(f"<{part['type']}>") == 1 for part in parts)
    return written and "probe" in text and "{" not in text


def _leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids, such as BOS, that the tokenizer puts in front of any text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    dressed = tokenizer("a")["input_ids"]
    starts = [i for i in range(len(dressed)) if dressed[i : i + len(bare)] == bare]
    return dressed[: starts[0]] if starts else []
