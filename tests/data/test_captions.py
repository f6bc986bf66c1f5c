"""AudioCaps and MSR-VTT: files under the names that people give them, missing ones, and the first bad line by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from midstream.data.formats import read_audiocaps, read_msrvtt
from midstream.data.rows import media_of
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.media import load_audio
from midstream.recipe import AudioCapsData, MsrVttData
from midstream.smoke.layouts import write_data

HEAD = "audiocap_id,youtube_id,start_time,caption\n"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    write_data(AudioCapsData(kind="audiocaps", root=tmp_path), {"audio": "audio"}, tmp_path)
    return tmp_path


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    write_data(MsrVttData(kind="msrvtt", root=tmp_path), {"video": "video"}, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["abc_30.wav", "abc.flac", "Yabc.mp3", "abc_30_40.wav", "abc_30000_40000.ogg", "Yabc_30.WAV", "77.wav"],
)
@pytest.mark.parametrize("folder", ["audio/train", "train", "audio"])
def test_clips_are_found_under_their_usual_names(name: str, folder: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f'{HEAD}77,abc,30,"A dog barks, twice"\n')
    (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / folder / name
    soundfile.write(path, np.zeros(1600), 16_000, format=path.suffix[1:].upper())
    (row,) = read_audiocaps(tmp_path, "train")
    assert media_of(row) == [str(path)] and row["messages"][1]["content"] == "A dog barks, twice"
    assert len(load_audio(path, 16_000)) > 0


def test_validation_clips_keep_their_five_captions_in_one_row(sounds: Path) -> None:
    rows = read_audiocaps(sounds, "val", each=False)
    assert len(rows) == 8 and rows[1]["answers"] == [["A green tone, then silence"] * 5]
    assert len(read_audiocaps(sounds, "val")) == 40  # the control: a row for each


def test_training_stops_at_missing_clips_or_leaves_them_out_and_evaluation_keeps_them(sounds: Path) -> None:
    data = AudioCapsData(kind="audiocaps", root=sounds)
    (sounds / "audio" / "train" / "train_clip03_30.wav").unlink()
    (sounds / "audio" / "val" / "val_clip00_0.wav").unlink()
    with pytest.raises(InputError, match=r"train.csv:5: there is no train_clip03_30.wav.* 1 of 8 .*missing: leave_out"):
        open_rows(data, "train")
    rows = open_rows(data.model_copy(update={"missing": "leave_out"}), "train")
    assert len(rows) == 7 and "without 1 files" in rows.name
    kept = open_rows(data, "validation")
    assert len(kept) == 8 and not Path(media_of(kept[0])[0]).exists()
    for path in (sounds / "audio" / "train").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"8 of 8 files .* check the folder"):
        open_rows(data.model_copy(update={"missing": "leave_out"}), "train")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("youtube_id,caption\nabc,x\n", "train.csv:1: column `audiocap_id` is missing"),
        ("", "train.csv:1: column `audiocap_id` is missing"),
        (HEAD, "holds no rows"),
        (HEAD + "1,abc,0,fine\n2,abc,ten,x\n", "train.csv:3: field `start_time` is 'ten'; it must be seconds"),
        (HEAD + "1,abc,inf,x\n", "train.csv:2: field `start_time` is 'inf'"),
        (HEAD + "1,,0,x\n", "train.csv:2: field `youtube_id` is empty"),
        (HEAD + "1,abc,0, \n", "train.csv:2: field `caption` is empty"),
        (HEAD + "1,abc\n", "train.csv:2: field `start_time` is empty"),
        (HEAD + "1,abc,0,one, two\n", "train.csv:2: more fields than columns"),
        (HEAD + '1,abc,0,"one" two\n', "train.csv:2: not CSV"),
    ],
)
def test_bad_audiocaps_lines(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "abc.wav").touch()
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(InputError, match=said):
        read_audiocaps(tmp_path, "train", missing="keep")
    (tmp_path / "train.csv").write_text(HEAD + '1,abc,0,"one,\ntwo"\n2,abd,0,three\n')  # the control
    assert len(read_audiocaps(tmp_path, "train", missing="keep")) == 2


def test_msrvtt_trains_on_every_sentence_and_validates_on_every_video(videos: Path) -> None:
    assert len(read_msrvtt(videos, "train")) == 16
    rows = open_rows(MsrVttData(kind="msrvtt", root=videos), "validation")
    assert len(rows) == 8 and rows[0]["id"] == "video8" and rows[0]["answers"] == [["a red square moves"] * 2]


def test_msrvtt_in_two_files_as_its_challenge_ships_it(videos: Path) -> None:
    content = json.loads((videos / "MSRVTT_data.json").read_text())
    (videos / "MSRVTT_data.json").unlink()
    for video in content["videos"]:
        video["split"] = {"train": "train", "validate": "test"}[video["split"]]
    for name, split in [("train_val_videodatainfo.json", "train"), ("test_videodatainfo.json", "test")]:
        chosen = [video for video in content["videos"] if video["split"] == split]
        said = [s for s in content["sentences"] if s["video_id"] in {video["video_id"] for video in chosen}]
        (videos / "annotation").mkdir(exist_ok=True)
        (videos / "annotation" / name).write_text(json.dumps({"videos": chosen, "sentences": said}))
    (videos / "videos" / "all").rename(videos / "TrainValVideo")
    assert len(read_msrvtt(videos, "train")) == 16 and len(read_msrvtt(videos, "test", each=False)) == 8
    with pytest.raises(InputError, match="list no video of split 'validate'"):
        read_msrvtt(videos, "validate")


def test_missing_videos(videos: Path) -> None:
    (videos / "videos" / "all" / "video2.mp4").unlink()
    with pytest.raises(InputError, match=r"MSRVTT_data.json.videos\[2\]: there is no video2.mp4"):
        read_msrvtt(videos, "train")
    assert len(read_msrvtt(videos, "train", missing="leave_out")) == 14


def changed(field: str, index: int, **values: Any) -> Callable[[Any], Any]:
    def apply(content: Any) -> Any:
        content[field][index] = {**content[field][index], **values}
        return content

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("videos", 3, split=None), r"videos\[3\]: field `split` must be str, but it is NoneType"),
        (changed("sentences", 5, caption=7), r"sentences\[5\]: field `caption` must be str, but it is int"),
        (changed("sentences", 5, caption=" "), r"sentences\[5\]: field `caption` is empty"),
        (changed("sentences", 4, video_id="video99"), r"sentences\[4\].video_id is 'video99', which field `videos`"),
        (lambda content: {**content, "sentences": content["sentences"][2:]}, r"videos\[0\].video_id is 'video0', of"),
        (lambda content: {**content, "videos": []}, "videos must be a list with at least one entry"),
        (lambda content: [content], "must be an object, not list"),
    ],
)
def test_bad_msrvtt_entries(change: Callable[[Any], Any], said: str, videos: Path) -> None:
    path = videos / "MSRVTT_data.json"
    good = path.read_text()
    path.write_text(json.dumps(change(json.loads(good))))
    with pytest.raises(InputError, match=said) as caught:
        read_msrvtt(videos, "train")
    assert str(path) in str(caught.value)
    path.write_text(good)
    assert len(read_msrvtt(videos, "train")) == 16


def test_a_folder_without_annotations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds none of MSRVTT_data\.json"):
        read_msrvtt(tmp_path, "train")
    (tmp_path / "MSRVTT_data.json").write_text("{\n{")
    with pytest.raises(InputError, match=r"MSRVTT_data\.json:2: not JSON"):
        read_msrvtt(tmp_path, "train")
