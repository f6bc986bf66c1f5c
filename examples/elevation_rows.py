"""Questions about real terrain, as JSON lines: ``python examples/elevation_rows.py [FOLDER]``, else data/elevation.

The heights are the Jacksboro fault (Tennessee, SRTM, 90 m) that ships with matplotlib. Tiles of 36 x 36 heights are cut
every 4 cells in each region; training, validation and test are regions side by side that share no cell.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
from matplotlib import cbook

SIDE, STRIDE = 36, 4
REGIONS = {"train": (0, 275), "validation": (275, 325), "test": (325, 403)}  # columns of the map, west to east
PLACES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")


def questions(heights):
    """What is asked of a tile: kind, question and answer."""
    third = SIDE // 3
    cells = heights.reshape(3, third, 3, third).mean(axis=(1, 3)).ravel()
    left, right = heights[:, : SIDE // 2].mean(), heights[:, SIDE // 2 :].mean()
    top, bottom = heights[: SIDE // 2].mean(), heights[SIDE // 2 :].mean()
    return [
        ("highest", "where is the highest place?", PLACES[cells.argmax()]),
        ("lowest", "where is the lowest place?", PLACES[cells.argmin()]),
        ("side", "which side is higher, left or right?", "left" if left > right else "right"),
        ("side", "which side is higher, top or bottom?", "top" if top > bottom else "bottom"),
    ]


def write(folder):
    """Tiles as .npy files, and a file of rows for each region."""
    folder = Path(folder)
    (folder / "tiles").mkdir(parents=True, exist_ok=True)
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as archive:
        heights = archive["elevation"]
    for split, (west, east) in REGIONS.items():
        lines = []
        for row in range(0, heights.shape[0] - SIDE + 1, STRIDE):
            for column in range(west, east - SIDE + 1, STRIDE):
                tile = heights[row : row + SIDE, column : column + SIDE]
                path = f"tiles/{row:03d}-{column:03d}.npy"
                np.save(folder / path, tile)
                asked = questions(tile)
                random.Random(path).shuffle(asked)  # else a model could lean on the answers that always come before
                messages = []
                for _, text, answer in asked:
                    messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
                    messages.append({"role": "assistant", "content": answer})
                messages[0]["content"].insert(0, {"type": "elevation", "elevation": path})
                kinds = [kind for kind, _, _ in asked]
                lines.append(json.dumps({"id": path, "messages": messages, "types": kinds}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "data/elevation")
