"""Where a result comes from: versions, revision, kind of machine, command, date. Knows no model and no data."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from midstream import __version__

PACKAGES = ("torch", "transformers", "accelerate", "numpy", "pillow")


def provenance(**facts: Any) -> dict[str, Any]:
    """What someone needs to measure the same again.

    Args:
        facts: what only the caller knows (seeds, data hash, recipe, ...); placed first.

    Returns:
        JSON-able. The machine is described by kind (processor, cores, accelerator), never by name or path.
    """
    return {
        **facts,
        "versions": _versions(),
        "revision": _revision(),
        "machine": _machine(),
        "command": _command(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    own = {"midstream": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in PACKAGES}


def _revision() -> str | None:
    """The git revision of the source tree this runs from, `+` when it has changes; None when installed from a wheel."""
    here = Path(__file__).parent
    if not (here.parent.parent / ".git").exists():
        return None
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
    }


def _command() -> str:
    """What was typed, without the folders of this machine."""
    return " ".join(_bare(argument) for argument in sys.argv)


def _bare(argument: str) -> str:
    key, equals, value = argument.rpartition("=")
    return f"{key}{equals}{Path(value).name}" if value.startswith("/") else argument
