"""Files on disk to rows: the real layouts are read, and the first bad entry is named by file, place and field."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import runs
from midstream.data.formats import read_coco_captions, read_jsonl, read_llava, read_vqav2
from midstream.data.rows import check_row, media_of, text_of
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.media import load_audio, load_image, load_molecule, load_series, load_video
from midstream.recipe import Recipe, parse_recipe
from midstream.smoke import smoke

SOURCES: dict[str, dict[str, Any]] = {
    "jsonl": {"train": "unused"},
    "llava": {"train": "unused", "images": "unused"},
    "vqav2": {"root": "unused"},
    "coco_captions": {"root": "unused"},
    "datasets": {"path": "unused"},
    "pocket": {},
    "audiocaps": {"root": "unused"},
    "msrvtt": {"root": "unused"},
    "webdataset": {"train": "unused"},
    "mix": {"parts": [{"data": {"kind": "jsonl", "train": "x"}}, {"data": {"kind": "llava", "train": "x"}}]},
}
LOADERS: dict[str, Callable[[Any], Any]] = {
    "image": load_image,
    "audio": lambda source: load_audio(source, 16_000),
    "video": lambda source: load_video(source, 4),
    "molecule": load_molecule,
    "series": load_series,
}
SHOWN = {"audiocaps": "audio", "msrvtt": "video"}
"""What is shown in layouts that know one medium, if it is not a picture."""


def on_disk(kind: str, folder: Path, media: Sequence[str] = (), **data: Any) -> Recipe:
    """A recipe whose data lie in `folder`, in the data set's own layout."""
    tree = runs.recipe_tree(kind, **SOURCES[kind] | data)
    part = {"encoder": "pocket", "schedule": {"preset": "prepend"}}
    tree |= {"lm": "pocket", "modalities": dict.fromkeys(media or [SHOWN.get(kind, "image")], part)}
    return smoke(parse_recipe(tree), folder)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_format_gives_rows_with_a_medium_a_question_and_an_answer(kind: str, split: str, tmp_path: Path) -> None:
    rows = open_rows(on_disk(kind, tmp_path).data, split, 5)
    assert len(rows) == len(list(rows)) == 5
    load = LOADERS[SHOWN.get(kind, "image")]
    for index, row in enumerate(rows):
        check_row(row, f"row {index}")
        (medium,) = media_of(row)
        assert load(medium) is not None
        assert text_of(row["messages"][0]["content"]) and row["messages"][1]["role"] == "assistant"
        assert rows[index]["messages"][0]["role"] == row["messages"][0]["role"] == "user"


@pytest.mark.parametrize("kind", ["jsonl", "datasets", "webdataset"])
def test_several_media_in_one_row_keep_their_order_and_their_content(kind: str, tmp_path: Path) -> None:
    media = ["audio", "image", "molecule", "series", "video"]
    rows = open_rows(on_disk(kind, tmp_path, media).data, "train", 3)
    for row in rows:
        parts = row["messages"][0]["content"]
        assert [part["type"] for part in parts] == [*media, "text"]
        for part in parts[:-1]:
            assert LOADERS[part["type"]](part[part["type"]]) is not None
    colours = [load_image(row["messages"][0]["content"][1]["image"]).getpixel((5, 5)) for row in rows]
    assert len(set(colours)) == 3  # the control: each row has its own picture


@pytest.mark.parametrize("kind", SOURCES)
def test_unknown_splits_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'tomorrow'"):
        open_rows(on_disk(kind, tmp_path).data, "tomorrow")


def test_limit_cuts_the_training_rows_only(tmp_path: Path) -> None:
    data = on_disk("llava", tmp_path).data.model_copy(update={"limit": 3})
    assert len(open_rows(data, "train")) == 3
    assert len(open_rows(data, "validation")) == 8


def test_vqav2_rows_keep_all_ten_answers_and_the_answer_type(tmp_path: Path) -> None:
    row = read_vqav2(Path(on_disk("vqav2", tmp_path).data.root), "val")[1]  # type: ignore[union-attr]
    assert row["id"] == "1001" and row["types"] == ["other"] and row["answers"] == [["green"] * 10]
    assert media_of(row)[0].endswith("val2014/COCO_val2014_000000000001.jpg")


def test_coco_rows_keep_every_caption(tmp_path: Path) -> None:
    rows = read_coco_captions(Path(on_disk("coco_captions", tmp_path).data.root), "train")  # type: ignore[union-attr]
    assert len(rows) == 8 and rows[0]["answers"] == [["something red"] * 5]


def test_llava_markers_become_parts_and_later_turns_have_none(tmp_path: Path) -> None:
    row = open_rows(on_disk("llava", tmp_path).data, "train")[1]
    kinds = [[part["type"] for part in message["content"]] for message in row["messages"]]
    assert kinds == [["image", "text"], ["text"], ["text"], ["text"]]


def test_llava_rows_may_show_sounds_videos_and_several_pictures(tmp_path: Path) -> None:
    def entry(value: str, **media: Any) -> dict[str, Any]:
        return {**media, "conversations": [{"from": "human", "value": value}, {"from": "gpt", "value": "yes."}]}

    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps(
            [
                entry("<audio>\n<video>\nsame?", audio="a.wav", video="b.mp4"),
                entry("<image> and <image>?", image=["c.png", "d.png"]),
                entry("<image>\nwhat moves?", video="e.mp4"),  # as LLaVA-Video writes it
                entry("no picture at all?"),
            ]
        )
    )
    rows = [
        [(part["type"], part.get(part["type"])) for part in row["messages"][0]["content"]]
        for row in read_llava(path, tmp_path)
    ]
    assert rows[0][:2] == [("audio", str(tmp_path / "a.wav")), ("video", str(tmp_path / "b.mp4"))]
    assert rows[1][0] == ("image", str(tmp_path / "c.png")) and rows[1][2] == ("image", str(tmp_path / "d.png"))
    assert rows[2][0] == ("video", str(tmp_path / "e.mp4")) and rows[3] == [("text", "no picture at all?")]


def spoil(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def deleted(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


def test_bad_llava_entries(tmp_path: Path) -> None:
    data: Any = on_disk("llava", tmp_path).data
    good = data.train.read_text()
    for change, said in [
        (lambda rows: [*rows[:2], deleted(rows[2], "conversations")], r"\[2\]: field `conversations` must be list"),
        (lambda rows: [*rows[:1], deleted(rows[1], "image")], r"\[1\]: 1 <image> markers for 0 images"),
        (lambda rows: [{**rows[0], "conversations": [{"from": "cat", "value": "x"}]}], "from is 'cat'"),
        (lambda rows: [{**rows[0], "conversations": [{"from": "human"}]}], r"conversations\[0\]: field `value`"),
        (lambda rows: [{**rows[0], "conversations": rows[0]["conversations"][:1]}], "no assistant turn"),
        (lambda rows: [{**rows[0], "audio": "a.wav"}], r"\[0\]: 0 <audio> markers for 1 audios in field `audio`"),
        (lambda rows: [{**rows[0], "image": 3}], r"\[0\]: field `image` must be a path or a list of paths, not int"),
        (lambda rows: [], "at least one entry"),
    ]:
        data.train.write_text(good)
        spoil(data.train, change)
        with pytest.raises(InputError, match=said) as caught:
            read_llava(data.train, data.media)
        assert str(data.train) in str(caught.value)


def test_bad_vqav2_entries(tmp_path: Path) -> None:
    root = Path(on_disk("vqav2", tmp_path).data.root)  # type: ignore[union-attr]
    path = root / "v2_mscoco_val2014_annotations.json"
    good = path.read_text()

    def at(index: int, change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
        def apply(content: Any) -> Any:
            content["annotations"][index] = change(content["annotations"][index])
            return content

        return apply

    for change, said in [
        (at(3, lambda entry: deleted(entry, "answers")), r"annotations\[3\]: field `answers` must be list"),
        (at(2, lambda entry: {**entry, "question_id": 7}), r"annotations\[2\].question_id is 7, which .* does not ask"),
        (at(0, lambda entry: {**entry, "answers": ["red"]}), r"annotations\[0\].answers\[0\] must be an object"),
        (lambda content: deleted(content, "annotations"), "field `annotations` must be list, but it is missing"),
    ]:
        path.write_text(good)
        spoil(path, change)
        with pytest.raises(InputError, match=said):
            read_vqav2(root, "val")
    path.unlink()
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        read_vqav2(root, "val")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "rows.jsonl:2: not JSON"),
        ("[]", "rows.jsonl:2: a row must be an object"),
        ('{"messages": []}', "rows.jsonl:2: field `messages` must be a list .* not empty"),
        ('{"messages": [{"role": "cat", "content": "x"}]}', r"messages\[0\]`.role is 'cat'"),
        ('{"messages": [{"role": "user", "content": 3}]}', r"messages\[0\]`.content must be text or a list"),
        ('{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "is of type 'image' but has no `image`"),
        ('{"messages": [{"role": "user", "content": " "}]}', "a user turn must say something"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "no assistant turn"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "types": []}',
            "field `types` has 0 entries for 1 assistant turns",
        ),
        (
            '{"images": ["a.png"], "messages": [{"role": "user", "content": "x"}]}',
            "field `images` has 1 images for 0 image parts",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "answers": ["y"]}',
            r"field `answers`\[0\] must be a list of accepted answers, not str",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "types": 3}',
            "field `types` must be a list with an entry for each assistant turn, not int",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "y"}]}',
            r"messages\[0\]` is an assistant turn that no user turn",
        ),
        ("[" * 100_000, "rows.jsonl:2: not JSON"),
        ("9" * 10_000, "rows.jsonl:2: not JSON"),
    ],
)
def test_bad_lines_are_named_by_number_and_field(line: str, said: str, tmp_path: Path) -> None:
    good = '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}'
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(InputError, match=said):
        read_jsonl(path)
    path.write_text(f"{good}\n\n{good}\n")  # the control: without the bad line it reads, blank lines and all
    assert len(read_jsonl(path)) == 2


def test_lines_end_at_line_ends_only(tmp_path: Path) -> None:
    """U+2028 and its like may stand inside JSON text; a byte-order mark and Windows line ends do no harm."""
    answers = ["a\u2028b", "c\x85d"]
    rows = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": text}]} for text in answers
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    assert [row["messages"][1]["content"] for row in read_jsonl(path)] == answers
    path.write_bytes(b'{"messages": \xff}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_jsonl(path)


def test_an_images_column_fills_the_parts_in_order(tmp_path: Path) -> None:
    content = [{"type": "image"}, {"type": "text", "text": "same?"}, {"type": "image"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "no"}]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": messages, "images": ["a.png", "b.png"]}) + "\n")
    assert media_of(read_jsonl(path)[0]) == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
