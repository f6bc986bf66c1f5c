"""Every way in which people write a part gives the same part; bad ones are named by line and place."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from midstream.data.parts import read_row
from midstream.data.rows import media_of
from midstream.errors import InputError
from midstream.media import load_image


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, "PNG")
    return file.getvalue()


ENCODED = base64.b64encode(png()).decode()


def row(*parts: Any, **columns: Any) -> dict[str, Any]:
    content = [*parts, {"type": "text", "text": "what is it?"}]
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "red"}], **columns}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "url": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "base64": ENCODED},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}", "detail": "low"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{ENCODED}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{ENCODED}"},
    ],
    ids=lambda part: "-".join(part),
)
def test_inline_pictures_become_bytes(part: dict[str, Any]) -> None:
    (picture,) = media_of(read_row(row(part), "rows.jsonl:1", Path("somewhere")))
    assert picture == png() and load_image(picture).size == (3, 2)


def test_openai_sounds_and_texts() -> None:
    heard = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}}
    found = read_row(row(heard, {"type": "input_text", "text": "listen."}), "rows.jsonl:1")
    assert found["messages"][0]["content"][:2] == [
        {"type": "audio", "audio": b"RIFF"},
        {"type": "text", "text": "listen."},
    ]


def test_columns_fill_the_parts_of_their_medium_in_order() -> None:
    found = read_row(
        row(
            {"type": "image"},
            {"type": "audio"},
            {"type": "image"},
            {"type": "video"},
            images=["1.png", "2.png"],
            audios=["3.wav"],
            videos=["4.mp4"],
        ),
        "rows.jsonl:1",
    )
    assert media_of(found) == ["1.png", "3.wav", "2.png", "4.mp4"] and "images" not in found


def test_paths_start_from_the_folder_and_notations_do_not(tmp_path: Path) -> None:
    (tmp_path / "hill.npy").touch()
    parts = [
        ("image", "a.png", str(tmp_path / "a.png")),
        ("audio", "b.wav", str(tmp_path / "b.wav")),
        ("video", "frames", str(tmp_path / "frames")),
        ("series", "c.csv", str(tmp_path / "c.csv")),
        ("image", "/d.png", "/d.png"),
        ("image", "file:///e%20f.png", "/e f.png"),
        ("audio", {"path": "g.wav"}, {"path": str(tmp_path / "g.wav")}),
        ("audio", {"array": [0.0], "sampling_rate": 16_000}, {"array": [0.0], "sampling_rate": 16_000}),
        ("series", [[1.0], [2.0]], [[1.0], [2.0]]),
        ("molecule", "C/C=C/C", "C/C=C/C"),
        ("table", "age=3,height=2", "age=3,height=2"),
        ("elevation", "hill.npy", str(tmp_path / "hill.npy")),  # a modality of one's own: a path if there is a file
        ("elevation", "no.npy", "no.npy"),
    ]
    found = read_row(row(*({"type": kind, kind: source} for kind, source, _ in parts)), "rows.jsonl:1", tmp_path)
    assert media_of(found) == [wanted for _, _, wanted in parts]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image_url"}, r"rows.jsonl:7: field `messages\[0\].content\[0\]` is of type 'image_url' but has no"),
        ({"type": "image_url", "image_url": {"url": 3}}, r"content\[0\]` is of type 'image_url' but has no image_url"),
        ({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, "nothing is downloaded: save the file"),
        ({"type": "image", "image": "HTTP://x.org/a.png"}, r"content\[0\]` is the URL HTTP://x.org/a.png"),
        ({"type": "image", "image": "data:image/png;base64,@@"}, r"content\[0\]` is not base64"),
        ({"type": "image", "image": "data:image/png;base64"}, "without a comma"),
        ({"type": "input_audio", "input_audio": {"data": "abc"}}, r"content\[0\]` is not base64 \(Incorrect padding\)"),
        ({"type": "input_audio", "input_audio": "abc"}, "has no input_audio with base64 `data`"),
        ({"type": "input_text"}, "is of type 'text' but has no `text`"),
        ({"type": "text", "text": 3}, r"content\[0\].text must be text, not int"),
        ({"type": "smell"}, "is of type 'smell' but has no `smell`"),
        ({"image": "a.png"}, r"content\[0\] must be an object with a `type`"),
        ("a.png", r"content\[0\] must be an object with a `type`, not str"),
    ],
)
def test_bad_parts_are_named(part: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_row(row(part), "rows.jsonl:7")
    assert "rows.jsonl:7" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"audios": ["a.wav"]}, "field `audios` has 1 audios for 0 audio parts"),
        ({"images": []}, "field `images` has 0 images for 1 image parts"),
        ({"images": ["http://x.org/a.png"]}, r"field `images\[0\]` is the URL"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_row(row({"type": "image"}, **columns), "rows.jsonl:7")
