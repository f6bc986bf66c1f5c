"""Many devices: each process takes its own cells and is alone on its device. Imports nothing that touches a device.

`accelerate launch` (or `torchrun`) starts one process for each device and tells each its number. Cells are independent,
so the processes need to know nothing more of each other: each forgets that it has companions, sees one device, and
trains like a run by itself. Without that, `Trainer` would train one model on all of them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
PREFIXES = ("TORCHELASTIC_", "ROLE_", "ACCELERATE_")
KEPT = ("ACCELERATE_USE_CPU",)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Share:
    """Which of how many processes this is."""

    number: int = 0
    of: int = 1

    def of_items(self, items: Sequence[Item]) -> list[Item]:
        """Every `of`-th, beginning with this process's own number."""
        return list(items[self.number :: self.of])


def stand_alone() -> Share:
    """Read this process's share of the work, and take the signs of the launch out of the environment.

    Must be called before anything has used a device.
    """
    share = Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    for name in [*os.environ]:
        if name in LAUNCHED or (name.startswith(PREFIXES) and name not in KEPT):
            del os.environ[name]
    if share.of > 1 and (devices := _devices()):
        os.environ[VISIBLE] = devices[local % len(devices)]
    return share


def _devices() -> list[str]:
    """The CUDA devices that may be used, by the names of `CUDA_VISIBLE_DEVICES`; counted without beginning CUDA."""
    if chosen := os.environ.get(VISIBLE):
        return chosen.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
