"""Digital elevation as a modality: an encoder of one's own (docs/own_modality.md)."""

import numpy as np
import torch

from midstream.errors import InputError
from midstream.own import OwnEncoder

SIDE, PATCH = 36, 6


class Elevation(OwnEncoder):
    """A square tile of heights in metres; two features, each a map of 6 x 6: mean heights, and how rough it is."""

    name = "elevation"
    width = (SIDE // PATCH) ** 2

    def preprocess(self, item):
        """An .npy file of 36 x 36 heights to hectometres above their mean."""
        heights = torch.from_numpy(np.load(item).astype(np.float32))
        if heights.shape != (SIDE, SIDE):
            raise InputError(f"{item} has the shape {tuple(heights.shape)}; a tile is {SIDE} x {SIDE} heights")
        return (heights - heights.mean()) / 100

    def forward(self, values):
        """(N, 36, 36) to (N, 2, 36)."""
        patches = values.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)
        return torch.stack([patches.mean((3, 4)), patches.std((3, 4))], dim=1).flatten(2)
