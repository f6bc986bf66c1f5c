"""Pictures: deterministic, different, every thing visible where the scene says it is."""

from __future__ import annotations

import numpy as np

from midstream.pocket.render import CELL, IMAGE_SIZE, draw, render
from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Thing, make_scene, sample_scene


def test_a_picture_is_a_function_of_scene_and_seed() -> None:
    scenes = [sample_scene("test", i) for i in range(30)]
    pictures = [render(scene, 1).tobytes() for scene in scenes]
    assert pictures == [render(scene, 1).tobytes() for scene in scenes]
    assert len(set(pictures)) == len(set(scenes))
    assert all(render(scene, 2).tobytes() != first for scene, first in zip(scenes, pictures, strict=True))
    assert render(scenes[0]).size == (IMAGE_SIZE, IMAGE_SIZE)
    assert render(scenes[0]).mode == "RGB"


def test_things_stay_in_their_cell() -> None:
    for index in range(200):
        scene = sample_scene("test", index)
        for thing, spot in zip(scene.things, draw(scene, index)[1], strict=True):
            rows, columns = np.nonzero(spot.mask_HW > 0.5)
            row, column = divmod(PLACES.index(thing.place), 3)
            rows, columns = rows + spot.row, columns + spot.column
            assert row * CELL - 1 <= rows.min() <= rows.max() <= (row + 1) * CELL + 1
            assert column * CELL - 1 <= columns.min() <= columns.max() <= (column + 1) * CELL + 1


def test_every_colour_stands_out_from_every_background() -> None:
    """Mean distance in RGB between a thing's pixels and the background around it, over many backgrounds."""
    for colour in COLOURS:
        for seed in range(60):
            scene = make_scene([Thing("square", colour, "large", "centre")])
            picture, (spot,) = draw(scene, seed)
            pixels = np.asarray(picture, dtype=float)
            height, width = spot.mask_HW.shape
            inside = pixels[spot.row : spot.row + height, spot.column : spot.column + width][spot.mask_HW > 0.99].mean(
                0
            )
            assert np.linalg.norm(inside - pixels[:12].mean((0, 1))) > 45, (colour, seed)


def test_shapes_and_sizes_have_their_own_masks() -> None:
    areas = {}
    for shape in SHAPES:
        for size in SIZES:
            spots = [draw(make_scene([Thing(shape, "red", size, "centre")]), seed)[1][0] for seed in range(20)]
            areas[shape, size] = [float(spot.mask_HW.sum()) for spot in spots]
    for shape in SHAPES:
        assert max(areas[shape, "small"]) < 0.6 * min(areas[shape, "large"])
