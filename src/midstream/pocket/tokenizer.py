"""The pocket tokenizer: byte-level BPE over scene language and prose, with the chat template.

Owns how text is cut into tokens and how messages become text. ``<image>``, ``<audio>`` and ``<video>`` are never tokens
here: the multimodal processor cuts the text at those slots before anything is tokenised.

Template (one rule per role)::

    system     "{text}\\n"            a scene description goes here: the text that stands where a picture would stand
    user       "<image>\\n" for each medium before the first text part, then "Question: {text}\\n"; later media inline
    assistant  "Answer: {text}\\n"
    generation prompt: "Answer:"          the model's reply starts with a space
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

EOS: Final = "<|endoftext|>"
PAD: Final = "<|pad|>"
# Turn markers are single tokens; a word keeps its hyphens ("top-left") and the space before it; a newline stands alone.
PATTERN: Final = r"Question:|Answer:| ?[A-Za-z]+(?:[-'][A-Za-z]+)*| ?[0-9]| ?[^\sA-Za-z0-9]+|\n|[^\S\n]+"

CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{%- set content = message['content'] -%}"
    "{%- if content is string -%}{%- set parts = [{'type': 'text', 'text': content}] -%}"
    "{%- else -%}{%- set parts = content -%}{%- endif -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ 'Answer:' }}{% generation %}"
    "{{ ' ' }}{%- for part in parts -%}{{ part['text'] }}{%- endfor -%}{{ '\n' }}"
    "{% endgeneration %}"
    "{%- else -%}"
    "{%- set state = namespace(spoken=false) -%}"
    "{%- for part in parts -%}"
    "{%- if part['type'] == 'text' -%}"
    "{%- if not state.spoken and message['role'] == 'user' -%}{{ 'Question: ' }}{%- endif -%}"
    "{%- set state.spoken = true -%}{{ part['text'] }}"
    "{%- else -%}{{ '<' + part['type'] + '>' }}{%- if not state.spoken -%}{{ '\n' }}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if state.spoken -%}{{ '\n' }}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Answer:' }}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1280) -> Any:
    """Train the pocket tokenizer; returns a ``PreTrainedTokenizerFast`` with the chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=EOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
