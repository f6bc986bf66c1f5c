"""The `sounds` world: the scenes of `midstream.pocket.world`, to be heard instead of seen.

Importing this costs nothing (no torch).
"""

from midstream.pocket.world import sample_scene as sample

__all__ = ["sample"]
