"""What `datasets` reads: saved folders, columns of any name, webdataset; media are left to our own loaders."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from midstream.data.columns import Columns
from midstream.data.formats.jsonl import read_jsonl
from midstream.data.rows import Rows, media_of, text_of
from midstream.data.shards import expanded, read_shards
from midstream.data.sources import open_data, open_rows
from midstream.data.streams import Stream
from midstream.data.tables import read_table
from midstream.errors import InputError
from midstream.recipe import HubData, JsonlData, WebdatasetData

PLAIN = Columns()


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(file, "PNG")
    return file.getvalue()


def saved(folder: Path, rows: list[dict[str, Any]], **features: Any) -> str:
    table = datasets.Dataset.from_list(rows)
    for column, feature in features.items():
        table = table.cast_column(column, feature)
    datasets.DatasetDict({"train": table}).save_to_disk(str(folder))
    return str(folder)


def said(row: Any) -> tuple[str, str]:
    return text_of(row["messages"][0]["content"]), text_of(row["messages"][1]["content"])


def test_columns_of_any_name_become_rows(tmp_path: Path) -> None:
    rows = [{"photo": {"bytes": png(), "path": None}, "q": "which?", "a": ["red", "dark red"], "smiles": "CCO"}]
    path = saved(tmp_path / "saved", rows, photo=datasets.Image(decode=False))
    (row,) = read_table(path, None, "train", Columns("q", "a", {"smiles": "molecule"}))
    assert (
        media_of(row) == [png(), "CCO"] and said(row) == ("which?", "red") and row["answers"] == [["red", "dark red"]]
    )


def test_classes_are_answered_by_name_and_lists_of_pictures_are_all_shown(tmp_path: Path) -> None:
    pictures = [{"bytes": png(colour), "path": None} for colour in ("red", "blue")]
    features = {
        "images": datasets.List(datasets.Image(decode=False)),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
    }
    path = saved(tmp_path / "saved", [{"images": pictures, "label": 1}], **features)
    (row,) = read_table(path, None, "train", PLAIN)
    assert said(row) == ("describe the picture.", "dog") and media_of(row) == [png("red"), png("blue")]


def test_a_folder_of_class_folders_reads_as_it_is(tmp_path: Path) -> None:
    for name, colour in [("cat", "red"), ("dog", "blue")]:
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (3, 2), colour).save(tmp_path / "train" / name / "0.png")
    rows = read_table(str(tmp_path), None, "train", Columns(request="which animal?"))
    assert {said(row) for row in rows} == {("which animal?", "cat"), ("which animal?", "dog")}


def test_broken_media_reach_our_loaders_undecoded(tmp_path: Path) -> None:
    """`datasets` would decode, and fail on its own terms; the control: decoding it does fail."""
    broken = {"bytes": png()[:40], "path": None}
    path = saved(tmp_path / "saved", [{"image": broken, "text": "x"}], image=datasets.Image(decode=False))
    (row,) = read_table(path, None, "train", PLAIN)
    assert media_of(row) == [png()[:40]]
    with pytest.raises(Exception, match=r"cannot identify|truncated|broken"):
        datasets.load_from_disk(path)["train"].cast_column("image", datasets.Image())[0]["image"].load()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (Columns(answer="b"), r"saved\[0\]: there is no column `b`; there are image, q, rating"),
        (PLAIN, r"saved\[0\]: there is no column with an answer \(looked for answer, answers"),
        (Columns(question="rating", answer="q"), r"saved\[0\]: column `rating` must be text, not int"),
        (Columns(answer="q", media={"z": "series"}), r"saved\[0\]: there is no column `z`"),
    ],
)
def test_columns_that_are_not_there(columns: Columns, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", [{"q": "x", "rating": 3, "image": "a.png"}])
    with pytest.raises(InputError, match=said):
        read_table(path, None, "train", columns)[0]  # type: ignore[index]


def test_missing_data_sets_and_splits(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", [{"text": "x"}])
    with pytest.raises(InputError, match="no split 'tomorrow' here"):
        read_table(path, None, "tomorrow", PLAIN)


Member = tuple[str, bytes | str | Mapping[str, Any]]


def shard(path: Path, *members: Member) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            data = json.dumps(content).encode() if isinstance(content, Mapping) else content
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def test_samples_of_every_style(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "blue."}]
    shard(tmp_path / "a-000.tar", ("0.png", png()), ("0.txt", "a red picture"))
    shard(
        tmp_path / "b-000.tar",
        ("1.png", png()),
        ("1.json", {"question": "which colour?", "answers": ["red", "crimson"]}),
        ("2.json", {"caption": "nothing", "extra": [1, {"deep": None}]}),
        ("3.jpg", png("blue")),
        ("3.json", {"conversations": turns}),
    )
    (first,) = read_shards([str(tmp_path / "a-*.tar")], PLAIN).first(1)  # type: ignore[union-attr]
    assert said(first) == ("describe the picture.", "a red picture") and media_of(first) == [png()]
    rows = read_shards([str(tmp_path / "b-{000..000}.tar")], PLAIN).first(9)  # type: ignore[union-attr]
    assert [said(row) for row in rows] == [
        ("which colour?", "red"),
        ("describe the subject.", "nothing"),
        ("what?", "blue."),
    ]
    assert [media_of(row) for row in rows] == [[png()], [], [png("blue")]]


def test_shards_can_be_counted_when_they_are_copied(tmp_path: Path) -> None:
    file = shard(tmp_path / "a.tar", ("0.png", png()), ("0.txt", "red"), ("1.png", png("blue")), ("1.txt", "blue"))
    rows = read_shards([file], PLAIN, streaming=False)
    assert isinstance(rows, Rows) and [said(row)[1] for row in rows] == ["red", "blue"] and media_of(rows[0]) == [png()]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("0.png", png()), ("0.json", "{")], r"a.tar: member 0.json:1: not JSON"),
        ([("0.png", png()), ("0.json", "[]")], r"a.tar: sample 0: `json` must hold an object, not list"),
        ([("0.png", png()), ("0.json", {"q": "x"})], r"a.tar: sample 0: there is no column with an answer"),
        ([("0.png", png()), ("0.txt", " ")], r"a.tar: sample 0: column `txt` must say something"),
        ([("0.png", png()), ("0.txt", b"\xff\xfe")], r"a.tar: member 0.txt: not UTF-8"),
        ([("0.png", png()), ("0.cls", "x"), ("0.txt", "y")], r"a.tar: member 0.cls: holds 'x'"),
        ([("0.png", png()), ("0.json", {"messages": []})], r"a.tar: sample 0: field `messages` must be a list"),
        ([("README", "hello")], "has no member KEY.jpg"),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_bad_samples_are_named(members: list[Member], said: str, streaming: bool, tmp_path: Path) -> None:
    good: list[Member] = [("00.png", png()), ("00.txt", "red")]
    file = shard(
        tmp_path / "a.tar", *(good if members[0][0] == "0.png" and "json" not in members[1][0] else []), *members
    )
    with pytest.raises(InputError, match=said):
        list(read_shards([file], PLAIN).first(5) if streaming else read_shards([file], PLAIN, False))  # type: ignore[union-attr]


def test_shards_that_are_cut_short_or_missing(tmp_path: Path) -> None:
    file = Path(
        shard(tmp_path / "a.tar", ("0.png", png()), ("0.txt", "red"), ("1.png", bytes(9000)), ("1.txt", "blue"))
    )
    file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"a.tar is no tar file that can be read \(unexpected end"):
        read_shards([str(file)], PLAIN)
    whole = shard(tmp_path / "0.tar", ("0.png", png()), ("0.txt", "red"))
    stream = read_shards([whole, str(file)], PLAIN)
    assert isinstance(stream, Stream) and answers(stream, 1) == ["red"]
    with pytest.raises(InputError, match=r"a.tar is no whole tar file \(unexpected end"):
        answers(stream, 3)
    file.write_text("not a tar file at all")
    with pytest.raises(InputError, match=r"a\.tar is no tar file"):
        read_shards([str(file)], PLAIN)
    with pytest.raises(InputError, match=r"there is no file .*b-1.tar"):
        expanded(str(tmp_path / "b-{1..3}.tar"))


def answers(rows: Any, count: int) -> list[str]:
    iterator = iter(rows)
    return [said(next(iterator))[1] for _ in range(count)]


def lines(path: Path, count: int = 50) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": str(i)}]} for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tables(folder: Path) -> dict[str, Callable[..., Any]]:
    members = [(f"{i:03d}.txt", str(i)) for i in range(50)]
    path = saved(folder / "saved", [{"text": str(i)} for i in range(50)])
    return {
        "jsonl": lambda **more: JsonlData(kind="jsonl", train=lines(folder / "rows.jsonl"), streaming=True, **more),
        "datasets": lambda **more: HubData(kind="datasets", path=path, streaming=True, **more),
        "webdataset": lambda **more: WebdatasetData(kind="webdataset", train=shard(folder / "a.tar", *members), **more),
    }


@pytest.mark.parametrize("kind", ["jsonl", "datasets", "webdataset"])
def test_streams_go_on_for_ever_in_an_order_of_their_seed(kind: str, tmp_path: Path) -> None:
    data = tables(tmp_path)[kind]
    stream = open_data(data(shuffle=0), "train")
    assert isinstance(stream, Stream) and not hasattr(stream, "__len__")
    assert answers(stream, 103) == [str(i % 50) for i in range(103)]
    shuffled = answers(open_data(data(shuffle=20, seed=1), "train"), 100)
    assert shuffled == answers(open_data(data(shuffle=20, seed=1), "train"), 100)
    assert sorted(shuffled[:50]) == sorted(shuffled[50:]) == sorted(map(str, range(50)))
    assert shuffled[:50] != shuffled[50:]  # the controls: another pass and another seed have another order
    assert shuffled != answers(open_data(data(shuffle=20, seed=2), "train"), 100)
    assert answers(open_data(data(shuffle=0, limit=3), "train"), 5) == ["0", "1", "2", "0", "1"]
    assert len(open_rows(data(shuffle=0), "train", 7)) == 7


def test_a_stream_names_its_bad_line_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl", 3)
    path.write_text(path.read_text() + "\n{\n")
    stream = open_data(JsonlData(kind="jsonl", train=path, streaming=True, shuffle=0), "train")
    with pytest.raises(InputError, match=r"rows.jsonl:5: not JSON"):
        answers(stream, 4)
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no rows"):
        next(iter(open_data(JsonlData(kind="jsonl", train=path, streaming=True), "train")))
    with pytest.raises(InputError, match="is a stream, which has no end; say how many rows"):
        open_rows(JsonlData(kind="jsonl", train=path, streaming=True), "train")


def test_a_stream_gives_what_the_file_gives(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl")
    stream = open_data(JsonlData(kind="jsonl", train=path, streaming=True, shuffle=0), "train")
    assert list(stream.first(50)) == list(read_jsonl(path))  # type: ignore[union-attr]
