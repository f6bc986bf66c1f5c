"""What makes an unmodified Hugging Face decoder follow the schedules: anatomy, placement, call, junctions, engine."""

from midstream.engine.caching import is_empty
from midstream.engine.call import Memory, rerunnable
from midstream.engine.engine import Engine
from midstream.engine.limits import check_gradients
from midstream.engine.placement import Cargo

__all__ = ["Cargo", "Engine", "Memory", "check_gradients", "is_empty", "rerunnable"]
