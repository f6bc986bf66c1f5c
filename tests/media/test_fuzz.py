"""2,000 damaged files of every format; the same with loaders that are not careful, which must be caught."""

import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import pytest
import soundfile
from fuzz_damage import damaged
from fuzz_files import VARIANTS, files
from PIL import Image

from midstream import media
from midstream.errors import InputError

CASES = 2_000


@pytest.mark.parametrize("kind", VARIANTS)
def test_damaged_files_are_decoded_or_refused(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """And nothing native writes to standard error meanwhile."""
    whole = files(kind)
    capfd.readouterr()
    load, is_one = fuzz.READERS[kind]
    assert all(fuzz.judge(load, is_one, data) == "decoded" for data in whole), "what is not damaged is decoded"
    outcome = fuzz.run(kind, range(CASES))
    assert outcome.findings == []
    assert outcome.counts["decoded"] + outcome.counts["refused"] == CASES
    assert min(outcome.counts["decoded"], outcome.counts["refused"]) > CASES // 100, (
        "the damage is neither all nor none"
    )
    assert capfd.readouterr().err == ""


def _naive_picture(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data)).convert("RGB")


def _naive_sound(data: bytes) -> Any:
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return samples.mean(axis=1)


def _told(load: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Every exception as a sentence, so that only wrong results are left to find."""

    def loader(data: bytes) -> Any:
        try:
            return load(data)
        except Exception:
            raise InputError("this file is damaged; give another one") from None

    return loader


NAIVE: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "pictures whose errors pass": ("png", _naive_picture),
    "pickles and errors": ("npy", lambda data: np.load(io.BytesIO(data), allow_pickle=True)),
    "samples that are not finite": ("wav", _told(_naive_sound)),
    "cells that are not finite": (
        "csv",
        _told(lambda data: np.genfromtxt(io.BytesIO(data), np.float32, skip_header=1)),
    ),
    "several lines": ("json", lambda data: _several_lines(data)),
}


def _several_lines(data: bytes) -> Any:
    try:
        return np.asarray(json.loads(data), np.float32, ndmin=2)
    except Exception as error:
        raise InputError(f"cannot read this:\n{error}") from None


@pytest.mark.parametrize("what", NAIVE)
@pytest.mark.filterwarnings("ignore")
def test_the_control_careless_loaders_are_caught(what: str) -> None:
    kind, load = NAIVE[what]
    assert fuzz.run(kind, range(600), reader=(load, fuzz.READERS[kind][1])).findings


def test_the_control_a_slow_loader_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.01)

    def slow(data: bytes) -> Any:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        return media.load_image(data)

    assert all("processor time" in finding for finding in fuzz.run("png", range(3), reader=(slow, bool)).findings)
    assert fuzz.run("png", range(3), reader=(slow, bool)).findings


def test_the_same_case_is_the_same_file() -> None:
    for kind in ("png", "ogg", "csv"):
        cases = [fuzz.case(kind, number, 0) for number in range(200)]
        assert cases == [fuzz.case(kind, number, 0) for number in range(200)]
        assert len(set(cases)) > 180 and not set(cases) <= set(files(kind))
        assert cases != [fuzz.case(kind, number, 1) for number in range(200)]


@pytest.mark.parametrize("kind", ["png", "ogg"])
def test_checksums_are_made_right_again(kind: str) -> None:
    """Half of the damaged files pass them; without that, hardly any would."""
    guarded = {"png": _png_fits, "ogg": _ogg_fits}[kind]
    assert all(guarded(data) for data in files(kind)), "real files fit"
    fitting = sum(guarded(fuzz.case(kind, number, 0)) for number in range(400))
    assert 60 < fitting < 360


def _png_fits(data: bytes) -> bool:
    import zlib

    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if data[end : end + 4] != zlib.crc32(data[at + 4 : end]).to_bytes(4, "big"):
            return False
        at = end + 4
    return at == len(data)


def _ogg_fits(data: bytes) -> bool:
    from midstream.media.streams import ogg_is_broken

    return not ogg_is_broken(io.BytesIO(data))


def test_a_process_that_dies_or_hangs_is_named(tmp_path: Path) -> None:
    """The long command goes on after a case that ends the process, and says which it was."""
    script = tmp_path / "fuzz_trap.py"
    script.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(fuzz.__file__).parent)!r})\n"
        "import fuzz\n"
        "fuzz.__file__ = __file__\n"
        "fuzz.SECONDS = 0.3\n"
        "real, seen = fuzz.judge, []\n"
        "def trap(load, is_one, data):\n"
        "    number = seen[-1]\n"
        "    if number == 7: os.abort()\n"
        "    while number == 11: pass\n"
        "    if number == 13: os.write(2, b'a decoder talks')\n"
        "    return real(load, is_one, data)\n"
        "fuzz.judge = trap\n"
        "case = fuzz.case\n"
        "fuzz.case = lambda kind, number, seed: (seen.append(number), case(kind, number, seed))[1]\n"
        "fuzz.main()\n"
    )
    out = tmp_path / "out.json"
    command = [sys.executable, str(script), "--cases", "20", "--only", "csv", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    findings = json.loads(out.read_text())["formats"]["csv"]["findings"]
    assert done.returncode == 1 and len(findings) == 3
    assert "csv 7: ends the process (-6)" in findings[0] and "csv 11: hangs" in findings[1]
    assert "a decoder talks" in findings[2]


def test_damage_of_every_kind_happens() -> None:
    import random

    data, lengths = bytes(range(200)), set()
    for number in range(300):
        changed = damaged(random.Random(number), data, data[::-1])
        lengths.add((len(changed) > len(data)) - (len(changed) < len(data)))
    assert lengths == {-1, 0, 1}
