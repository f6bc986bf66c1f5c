"""The video encoder that ships: an ordinary folder, and features that know which way a thing moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel

from midstream import MidstreamForCausalLM, MidstreamProcessor
from midstream.pocket import encoder_path, model_path
from midstream.pocket.motion.data import example, one_frame
from midstream.pocket.motion.encoder_training import TAGS, tags
from midstream.pocket.motion.render import draw, frozen
from midstream.pocket.motion.world import sample
from midstream.tasks.evaluation import answer
from midstream.tasks.questions import questions_of

DIRECTION = list(TAGS).index("direction")


@pytest.fixture(scope="module")
def features() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Features and direction tags of tubelets that show a moving thing: of clips, of other clips, of those frozen."""
    folder = encoder_path("video")
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    found = {}
    for name, first, count in (("known", 0, 220), ("new", 220, 80), ("frozen", 220, 80)):
        frames, wanted = [], []
        for index in range(first, first + count):
            clip = sample("test", index)
            drawn = draw(clip, index, cover=True)
            assert drawn.cover_NFHW is not None
            frames.append(frozen(drawn.frames_FHW3) if name == "frozen" else drawn.frames_FHW3)
            wanted.append(tags(clip, drawn.cover_NFHW)[:, DIRECTION])
        made = processor([frame for clip_frames in frames for frame in clip_frames], return_tensors="pt")
        with torch.no_grad():
            hidden = model(made["pixel_values"].unflatten(0, (count, -1))).last_hidden_state
        moving = torch.from_numpy(np.stack(wanted))
        found[name] = (hidden[moving > 1], moving[moving > 1] - 2)
    return found


def test_a_linear_map_reads_the_direction_but_not_from_a_frozen_clip(
    features: dict[str, tuple[torch.Tensor, torch.Tensor]],
) -> None:
    hidden, wanted = features["known"]
    targets = torch.nn.functional.one_hot(wanted, 4).float()
    gram = hidden.T @ hidden + 10 * torch.eye(hidden.shape[1])
    read = torch.linalg.solve(gram, hidden.T @ targets)
    right = {name: float(((x @ read).argmax(-1) == y).float().mean()) for name, (x, y) in features.items()}
    assert right["new"] > 0.6 and right["frozen"] < 0.4, right


def test_there_is_no_word_in_it_and_it_is_small() -> None:
    folder = encoder_path("video")
    config = AutoModel.from_pretrained(folder).config
    assert config.model_type == "videomae" and not hasattr(config, "vocab_size")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8e6


def test_the_shipped_model_sees_motion_but_not_in_one_frame() -> None:
    """Directions and speeds, of which a frozen clip tells no more than a guess."""
    folder = model_path("pocket-video")
    model, processor = MidstreamForCausalLM.from_pretrained(folder).eval(), MidstreamProcessor.from_pretrained(folder)
    rows = [example("test", index, 7, 1, include_describe=False) for index in range(200)]
    rows = [row for row in rows if row["types"][0] in ("direction", "speed")]
    right = {}
    for name, shown in (("clip", rows), ("frame", [one_frame(row) for row in rows])):
        asked = [question for row in shown for question in questions_of(row)]
        said = answer(model, processor, [question.messages for question in asked], 4)
        right[name] = np.mean([one == question.references[0] for one, question in zip(said, asked, strict=True)])
    assert right["clip"] > 0.75 and right["frame"] < 0.6, right
