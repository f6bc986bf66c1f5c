"""What makes an unmodified Hugging Face decoder follow the schedules: anatomy, placement, junctions."""

from midstream.engine.junctions import Engine
from midstream.engine.placement import Cargo

__all__ = ["Cargo", "Engine"]
