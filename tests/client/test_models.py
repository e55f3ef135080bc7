"""Which models make a prediction together, and what a person is told where they don't."""

import os
import time

import pytest

from sleaprtc.base.printable import printable
from sleaprtc.client.events.job import Notice
from sleaprtc.client.inputs.models import needed_models, read_models
from sleaprtc.client.jobs.track import tracking_order
from sleaprtc.errors import InvalidModelError

from ..support.lab import make_model, make_video


def test_after_a_second_training_the_person_can_choose_at_once(tmp_path):
    folders = [
        make_model(tmp_path / "my models" / name, head)
        for name, head in (("centroid", "centroid"), ("centroid-1", "centroid"), ("ci", "centered_instance"))
    ]
    noon = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, -1))
    for number, folder in enumerate(folders):
        os.utime(folder / "best.ckpt", (noon + 60 * number,) * 2)
    with pytest.raises(InvalidModelError) as caught:
        needed_models(read_models([tmp_path / "my models"]))
    assert str(caught.value) == printable(str(caught.value))  # it is shown on one line
    assert str(caught.value) == (
        "There is more than one model of the same kind; name one of each. "
        f"centroid: --model '{folders[1]}' (newest, 2026-11-24 12:01), "
        f"--model '{folders[0]}' (2026-11-24 12:00); "
        f"centered_instance: --model '{folders[2]}' (2026-11-24 12:02)"
    )


@pytest.mark.parametrize("heads", [("centroid",), ("centroid", "centered_instance"), ("bottomup",)])
async def test_a_centroid_model_alone_is_said_to_find_positions_only(tmp_path, heads):
    models = [make_model(tmp_path / head, head) for head in heads]
    events = []
    order = await tracking_order(make_video(tmp_path / "a.mp4"), models, emit=events.append)
    order.scratch.remove()
    told = [event.message for event in events if isinstance(event, Notice)]
    assert len(told) == (heads == ("centroid",))
    assert all("not their nodes: the predictions are positions only" in message for message in told)
