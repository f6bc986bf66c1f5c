"""Prompts and conversations to tensors: slots in the right columns, labels on answers only, mistakes refused."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

import cases
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert
from midstream.processing import MidstreamProcessor

WORDS = ("<pad> <s> </s> Question: Answer: user assistant : < > image ! what is this that red blue and the one").split()

TEXT_TEMPLATE = (
    "{% for message in messages %}<s> {{ message['role'] }} : {{ message['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant : {% endif %}"
)
PARTS_TEMPLATE = (
    "{% for message in messages %}<s> {{ message['role'] }} : {% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% else %}<{{ part['type'] }}>{% endif %}{% endfor %}{% endif %} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant : {% endif %}"
)
PICTURES_TEMPLATE = PARTS_TEMPLATE.replace("<{{ part['type'] }}>", "{% if part['type'] == 'image' %}<image>{% endif %}")
"""Of a vision-language model: parts of other kinds are passed over."""
TEMPLATES = {"none": None, "text": TEXT_TEMPLATE, "parts": PARTS_TEMPLATE}


def _tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    """One token a word, BOS in front, padded with <pad>."""
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="!"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=template
    )


def _processor(template: str = "none", names: tuple[str, ...] = ("image", "other")) -> MidstreamProcessor:
    size = {"height": 16, "width": 16}
    return MidstreamProcessor(_tokenizer(TEMPLATES[template]), {name: ViTImageProcessor(size=size) for name in names})


def _picture(grey: int = 128) -> Image.Image:
    return Image.new("RGB", (20, 10), (grey, grey, grey))


def _words(processor: MidstreamProcessor, ids: torch.Tensor) -> str:
    return " ".join(processor.tokenizer.convert_ids_to_tokens(ids.tolist()))


def _part(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, kind: value}


def _turn(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "content": [_part("text", p) if isinstance(p, str) else _part("image", p) for p in parts]}


@pytest.mark.parametrize("side", ["left", "right"])
def test_slots_stand_before_the_column_that_follows_them(side: str) -> None:
    processor = _processor()
    texts = ["what is <image> this and <image><image> that", "<image>red", "blue"]
    batch = processor(texts, images=[[_picture()] * 3, [_picture()], []], padding_side=side)
    assert batch["input_ids"].shape == (3, 6)
    rows = ["<s> what is this and that", "<s> red", "<s> blue"]
    pads = [0, 4, 4]
    for row, (text, pad) in enumerate(zip(rows, pads, strict=True)):
        padding = "<pad> " * pad
        assert _words(processor, batch["input_ids"][row]).strip() == (
            padding + text if side == "left" else f"{text} {padding}".strip()
        )
        mask = [0] * pad + [1] * (6 - pad)
        assert batch["attention_mask"][row].tolist() == (mask if side == "left" else mask[::-1])
    shift = 4 if side == "left" else 0
    assert batch["image_slots"].tolist() == [[3, 5, 5], [1 + shift, -1, -1], [-1, -1, -1]]
    assert "other_slots" not in batch
    assert batch["image_pixel_values"].shape == (3, 3, 3, 16, 16)


def test_each_picture_is_in_its_slot() -> None:
    processor = _processor()
    greys = [[10, 60], [110], [160, 210]]
    texts = ["<image> what <image> is", "this <image> is", "<image><image> red"]
    batch = processor(texts, images=[[_picture(g) for g in row] for row in greys])
    values = batch["image_pixel_values"].mean((2, 3, 4))
    expected = torch.tensor([[10, 60], [110, 127.5], [160, 210]]) / 127.5 - 1  # an empty slot holds zeros
    torch.testing.assert_close(values, expected, atol=1e-2, rtol=0)


def test_several_senses_and_one_text() -> None:
    processor = _processor()
    batch = processor("<other> what <image> is", images=_picture(), other=[_picture()])
    assert batch["image_slots"].tolist() == [[2]]
    assert batch["other_slots"].tolist() == [[1]]
    nested = processor(["<image> what"], images=[[_picture()]])
    flat = processor("<image> what", images=[_picture()])
    assert torch.equal(nested["image_pixel_values"], flat["image_pixel_values"])


def test_the_text_around_a_slot_is_tokenised_piece_by_piece() -> None:
    """A slot never becomes a token, and what looks like a name beside it stays text."""
    processor = _processor()
    batch = processor("what <image> is < image > image", images=_picture())
    assert _words(processor, batch["input_ids"][0]) == "<s> what is < image > image"
    assert batch["image_slots"].tolist() == [[2]]


def test_a_prompt_without_media_is_the_tokenizers_own() -> None:
    processor = _processor()
    batch = processor(["what is this", "red"])
    processor.tokenizer.padding_side = "left"
    own = processor.tokenizer(["what is this", "red"], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], own["input_ids"])
    assert torch.equal(batch["attention_mask"], own["attention_mask"])
    assert set(batch) == {"input_ids", "attention_mask"}


CHAT = {
    "none": "<s> Question: what is this Answer:",
    "text": "<s> user : what is this </s> <s> assistant :",
    "parts": "<s> user : what is this </s> <s> assistant :",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_conversations_become_prompts(template: str) -> None:
    processor = _processor(template)
    batch = processor.apply_chat_template([_turn("user", _picture(), "what is this")])
    assert _words(processor, batch["input_ids"][0]) == CHAT[template]
    assert batch["image_slots"].tolist() == [[CHAT[template].split().index("what")]]
    mixed = [[_turn("user", "what is", _picture(), "this")], [{"role": "user", "content": "red"}]]
    both = processor.apply_chat_template(mixed)
    assert both["image_slots"].tolist()[1] == [-1]
    text = processor.apply_chat_template([_turn("user", _picture(), "what is this")], tokenize=False)
    assert text.count("<image>") == 1
    assert "PIL" not in text


def test_a_template_that_knows_pictures_only_loses_no_other_sense() -> None:
    tokenizer, picture = _tokenizer(PICTURES_TEMPLATE), _picture()
    size = ViTImageProcessor(size={"height": 16, "width": 16})
    processor = MidstreamProcessor(tokenizer, {"image": size, "other": size})
    parts = [_part("image", picture), _part("other", picture), _part("text", "what is this")]
    batch = processor.apply_chat_template([{"role": "user", "content": parts}])
    assert _words(processor, batch["input_ids"][0]) == CHAT["parts"]
    assert batch["image_slots"].tolist() == batch["other_slots"].tolist() == [[3]]
    bare = tokenizer.apply_chat_template([{"role": "user", "content": parts}], tokenize=False)
    assert "<image>" in bare and "<other>" not in bare  # the control: the template by itself does lose it


@pytest.mark.parametrize("template", TEMPLATES)
def test_labels_are_on_answers_and_the_end_of_the_turn(template: str) -> None:
    processor = _processor(template)
    messages = [
        _turn("user", _picture(), "what is this"),
        _turn("assistant", "the red one"),
        {"role": "user", "content": "and that"},
        {"role": "assistant", "content": "blue"},
    ]
    short = [{"role": "user", "content": "what"}, {"role": "assistant", "content": "red"}]
    batch = processor.training_batch([{"messages": messages}, {"messages": short}])
    learnt = batch["labels"][0][batch["labels"][0] != -100]
    assert _words(processor, learnt) == "the red one </s> blue </s>"
    assert _words(processor, batch["labels"][1][batch["labels"][1] != -100]) == "red </s>"
    where = batch["labels"] != -100
    assert torch.equal(batch["labels"][where], batch["input_ids"][where])
    assert not where[batch["attention_mask"] == 0].any()
    assert batch["attention_mask"][1].tolist() == sorted(batch["attention_mask"][1].tolist(), reverse=True), (
        "right padded"
    )
    prompt = processor.apply_chat_template(messages[:1])
    width = prompt["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][0, :width], prompt["input_ids"][0]), "training reads what generation will"
    assert torch.equal(batch["image_slots"][:1], prompt["image_slots"])


@pytest.mark.parametrize(
    ("text", "media", "words"),
    [
        ("what <image> is", {}, "1 <image> slots, but 0 were given"),
        ("what is", {"images": [_picture()]}, "0 <image> slots, but 1 were given"),
        ("<image><image> what", {"images": [_picture()]}, "2 <image> slots, but 1"),
        ("what is <image>", {"images": [_picture()]}, "ends with <image>"),
        ("what is", {"audio": [_picture()]}, r"no audio; it has \['image', 'other'\]"),
        (["what", "is"], {"images": [[_picture()]]}, "2 texts came with image media for 1"),
        (["<image> a", "b"], {"images": [[], [_picture()]]}, "1 <image> slots, but 0"),
        ([], {}, "no text"),
    ],
)
def test_slots_and_media_that_do_not_match(text: Any, media: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _processor()(text, **media)


def test_empty_questions_are_refused() -> None:
    without_bos = _processor()
    without_bos.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", special_tokens=[]
    )
    for processor in (_processor(), MidstreamProcessor(without_bos.tokenizer, without_bos.processors)):
        for text in ("", "   "):
            with pytest.raises(InputError, match="empty"):
                processor(text)
        with pytest.raises(InputError, match="ends with"):
            processor("<image>", images=_picture())
    with pytest.raises(InputError, match="no messages"):
        _processor().apply_chat_template([])
    for content in ("", " ", [], [_part("text", "")]):
        with pytest.raises(InputError, match="last message is empty"):
            _processor().apply_chat_template([{"role": "user", "content": content}])


@pytest.mark.parametrize("template", TEMPLATES)
def test_conversations_with_mistakes(template: str) -> None:
    processor = _processor(template)
    with pytest.raises(InputError, match="no audio"):
        processor.apply_chat_template([{"role": "user", "content": [_part("audio", b""), _part("text", "what")]}])
    with pytest.raises(InputError, match="2 <image> slots, but 1"):
        processor.apply_chat_template([_turn("user", _picture(), "what is <image> this")])
    with pytest.raises(InputError, match="no assistant turn"):
        processor.training_batch([{"messages": [_turn("user", "what")]}])
    with pytest.raises(InputError, match="path, bytes or a PIL image"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}, _part("text", "what")]}])


def test_a_template_that_rewrites_history_is_refused() -> None:
    """Some drop the reasoning of earlier turns; labels would then stand on the wrong tokens."""
    last_only = "{{ messages[-1]['content'] }}{% if add_generation_prompt %} assistant : {% endif %}"
    processor = MidstreamProcessor(_tokenizer(last_only), {})
    turns = [{"role": role, "content": "red"} for role in ("user", "assistant", "user", "assistant")]
    with pytest.raises(InputError, match="rewrites earlier turns"):
        processor.training_batch([{"messages": turns}])


def test_media_come_as_paths_bytes_or_pictures(tmp_path: Path) -> None:
    processor, file = _processor(), io.BytesIO()
    _picture(77).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    given = [_picture(77), file.getvalue(), tmp_path / "a.png", str(tmp_path / "a.png")]
    batch = processor("<image><image><image><image> what", images=given)
    assert all(torch.equal(batch["image_pixel_values"][0, 0], batch["image_pixel_values"][0, i]) for i in range(4))


@pytest.mark.parametrize("template", TEMPLATES)
def test_round_trip_through_a_folder(template: str, tmp_path: Path) -> None:
    processor = _processor(template)
    processor.save_pretrained(tmp_path / "processor")
    again = MidstreamProcessor.from_pretrained(tmp_path / "processor")
    messages = [_turn("user", _picture(40), "what is this"), _turn("assistant", "red")]
    expected, found = (p.training_batch([{"messages": messages}]) for p in (processor, again))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    with pytest.raises(InputError, match="no Midstream processor"):
        MidstreamProcessor.from_pretrained(tmp_path)


def test_what_the_processor_gives_the_model_takes() -> None:
    processor = _processor(names=("image",))
    image = Modality(cases.encoder("vit"), "linear", deep_insert(3))
    made = MidstreamForCausalLM.from_parts(cases.fresh_lm("llama"), image=image)
    row = {"messages": [_turn("user", _picture(40), "what is this"), _turn("assistant", "red")]}
    batch = processor.training_batch(
        [row, {"messages": [{"role": "user", "content": "what"}, _turn("assistant", "blue")]}]
    )
    made(**batch).loss.backward()
    assert all(parameter.grad is not None for parameter in made.trained_tensors().values())
    prompt = processor.apply_chat_template(row["messages"][:1])
    assert made.generate(**prompt, max_new_tokens=2).shape[1] <= prompt["input_ids"].shape[1] + 2


def test_a_tokenizer_without_padding_pads_with_the_end() -> None:
    tokenizer = _tokenizer()
    tokenizer.pad_token = None
    batch = MidstreamProcessor(tokenizer, {})(["what is this", "red"])
    assert _words(MidstreamProcessor(tokenizer, {}), batch["input_ids"][1]) == "</s> </s> <s> red"
    assert batch["attention_mask"][1].tolist() == [0, 0, 1, 1]
