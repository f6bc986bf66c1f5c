"""Damaged media files: a loader may give a correct decode or one sentence, within a time, and nothing else.

    python tests/media/fuzz.py --cases 100000                    every format, damaged 100,000 times each
    python tests/media/fuzz.py --cases 100000 --only mp4,wav     these formats
    python tests/media/fuzz.py --only mp4 --show 4711            writes case 4711 of mp4 to a file and loads it

Each format is loaded in a process of its own, so that a decoder that crashes, hangs or takes too much memory is seen,
named by its case, and the next case goes on. The same seed gives the same cases.
"""

import argparse
import json
import math
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import damaged
from fuzz_files import VARIANTS, files
from PIL import Image

from midstream import media
from midstream.errors import InputError

SECONDS = 10.0
"""Processor time that one damaged file may take: they are tiny, but may promise as much as the limits allow."""

STANDSTILL = 300.0
"""Seconds on the clock after which a case that waits for something is given up."""

MEMORY = 4 * 1024**3
"""Address space of a process that loads damaged files."""

FRAMES, RATE = 3, 16_000


def _is_picture(found: Any) -> bool:
    return (
        isinstance(found, Image.Image) and found.mode == "RGB" and 0 < math.prod(found.size) <= media.MAX_IMAGE_PIXELS
    )


def _is_sound(found: Any) -> bool:
    return found.dtype == np.float32 and found.ndim == 1 and len(found) > 0 and bool(np.isfinite(found).all())


def _is_clip(found: Any) -> bool:
    return found.dtype == np.uint8 and found.ndim == 4 and found.shape[0] == FRAMES and found.shape[3] == 3


def _is_series(found: Any) -> bool:
    return found.dtype == np.float32 and found.ndim == 2 and found.size > 0 and bool(np.isfinite(found).all())


def _is_row(found: Any) -> bool:
    return all(
        isinstance(value, str) or (isinstance(value, float) and math.isfinite(value)) for value in found.values()
    )


def _text(load: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: load(data.decode("latin-1"))


Reader = tuple[Callable[[bytes], Any], Callable[[Any], bool]]
PICTURE: Reader = (media.load_image, _is_picture)
SOUND: Reader = (lambda data: media.load_audio(data, RATE), _is_sound)
CLIP: Reader = (lambda data: media.load_video(data, FRAMES), _is_clip)
SERIES: Reader = (media.load_series, _is_series)
READERS: dict[str, Reader] = {
    **dict.fromkeys(("png", "jpeg", "webp", "gif", "bmp", "tiff", "ppm", "avif"), PICTURE),
    **dict.fromkeys(("wav", "flac", "ogg", "mp3"), SOUND),
    **dict.fromkeys(("mp4", "webm", "gif_clip"), CLIP),
    **dict.fromkeys(("csv", "json", "npy", "npz"), SERIES),
    "row": (_text(media.load_row), _is_row),
    "smiles": (_text(media.load_molecule), lambda found: isinstance(found, str) and bool(found)),
}
"""Format -> its loader, and whether a result is one."""


@dataclass
class Outcome:
    """What came of the damaged files of one format."""

    counts: Counter[str] = field(default_factory=Counter)
    """decoded, refused."""
    findings: list[str] = field(default_factory=list)
    """Everything else, by case."""
    slowest: float = 0.0
    """Seconds."""


def case(kind: str, number: int, seed: int) -> bytes:
    """The damaged file of this number."""
    rng = random.Random(f"{seed} {kind} {number}")
    whole = files(kind)
    return damaged(rng, rng.choice(whole), rng.choice(whole))


def judge(load: Callable[[bytes], Any], is_one: Callable[[Any], bool], data: bytes) -> str:
    """`decoded`, `refused`, or what is wrong."""
    try:
        found = load(data)
    except InputError as error:
        text = str(error)
        return "refused" if len(text.splitlines()) == 1 and 20 < len(text) < 700 else f"not one sentence: {text!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "decoded" if is_one(found) else f"a wrong result: {type(found).__name__} {getattr(found, 'shape', '')}"


def run(
    kind: str,
    numbers: range,
    seed: int = 0,
    reader: Reader | None = None,
    begin: Callable[[int], None] = lambda number: None,
) -> Outcome:
    """Load damaged files of one format, in this process.

    Args:
        reader: another loader than the format's own.
        begin: called with the number of every case before it is loaded.
    """
    load, is_one = reader or READERS[kind]
    outcome = Outcome()
    for number in numbers:
        data = case(kind, number, seed)
        begin(number)
        start = time.process_time()
        verdict = judge(load, is_one, data)
        seconds = time.process_time() - start
        outcome.slowest = max(outcome.slowest, seconds)
        if seconds > SECONDS:
            verdict = f"{seconds:.1f} seconds of processor time"
        if verdict in ("decoded", "refused"):
            outcome.counts[verdict] += 1
        else:
            outcome.findings.append(f"{kind} {number}: {verdict[:300]}")
    return outcome


def _work(kind: str, start: int, end: int, seed: int, place: Path) -> None:
    """The process that loads: its case number stands in a shared page, its outcome in the last line it prints."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    files(kind)  # written before the first case: encoders are not what is tested
    with place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:

        def begin(number: int) -> None:
            page[:] = number.to_bytes(8, "little")
            signal.setitimer(signal.ITIMER_PROF, 3 * SECONDS)  # of processor time; then SIGPROF ends the process

        outcome = run(kind, range(start, end), seed, begin=begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([outcome.counts, outcome.findings, outcome.slowest, peak]))


def watch(kind: str, cases: int, seed: int, step: int = 5_000) -> dict[str, Any]:
    """Load `cases` damaged files of one format in other processes, and go on after one that dies or hangs."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    slowest, peak, start = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        page, noise = Path(folder) / "case", Path(folder) / "noise"
        while start < cases:
            end = min(cases, start + step)
            page.write_bytes(start.to_bytes(8, "little"))
            command = [
                sys.executable,
                __file__,
                "--work",
                kind,
                str(start),
                str(end),
                "--seed",
                str(seed),
                "--at",
                str(page),
            ]
            with (
                noise.open("wb") as stderr,
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
            ):
                hung = _hung(process, page)
                printed = process.stdout.read() if process.stdout else b""
            hung = hung or process.returncode == -signal.SIGPROF
            if process.returncode == 0:
                part = json.loads(printed.splitlines()[-1])
                counts.update(part[0])
                findings += part[1]
                if said := noise.read_text(errors="replace"):
                    findings.append(f"{kind} {start}..{end - 1}: on standard error: {said[:300]!r}")
                slowest, peak, start = max(slowest, part[2]), max(peak, part[3]), end
            else:
                died = int.from_bytes(page.read_bytes(), "little")
                how = "hangs" if hung else f"ends the process ({process.returncode})"
                findings.append(f"{kind} {died}: {how}: {noise.read_text(errors='replace')[-200:]!r}")
                counts["decoded or refused"] += died - start
                start = died + 1
    return {"counts": dict(counts), "findings": findings, "slowest_seconds": round(slowest, 3), "peak_mib": peak}


def _hung(process: "subprocess.Popen[bytes]", page: Path) -> bool:
    """Wait; kill a process that stays with one case without using its processor time up."""
    last, since = b"", time.monotonic()
    while True:
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            now = page.read_bytes()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > STANDSTILL:
                process.kill()
                return True
        else:
            return False


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="damaged files of each format")
    parser.add_argument("--only", default=",".join(VARIANTS), help="formats, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, help="write this case to a file, then load it here")
    parser.add_argument("--out", type=Path, help="where the outcome is written as JSON")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        kind, start, end = given.work
        _work(kind, int(start), int(end), given.seed, given.at)
        return
    if given.show is not None:
        data = case(given.only, given.show, given.seed)
        path = Path(f"case_{given.only}_{given.show}")
        path.write_bytes(data)
        print(f"{path}: {len(data)} bytes: {judge(*READERS[given.only], data)}")
        return
    outcomes: dict[str, Any] = {}
    for kind in given.only.split(","):
        start = time.monotonic()
        outcomes[kind] = watch(kind, given.cases, given.seed) | {"seconds": round(time.monotonic() - start, 1)}
        print(kind, json.dumps(outcomes[kind] | {"findings": outcomes[kind]["findings"][:20]}), flush=True)
    if given.out:
        given.out.write_text(
            json.dumps({"cases": given.cases, "seed": given.seed, "formats": outcomes}, indent=1) + "\n"
        )
    sys.exit(any(outcome["findings"] for outcome in outcomes.values()))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
