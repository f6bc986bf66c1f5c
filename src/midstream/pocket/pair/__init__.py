"""The `picture_and_sound` world: a scene to see and a scene to hear in one prompt, and questions that need both.

Importing this costs nothing (no torch).
"""

from midstream.pocket.pair.world import SENSES, Pair, Sense, sample

__all__ = ["SENSES", "Pair", "Sense", "sample"]
