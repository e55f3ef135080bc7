"""How long a training may take."""

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.jobs.estimate import MAX_EPOCHS, MODEL_HEADS, PastModel, estimated_duration_minutes
from sleaprtc.protocol.jobs import DatasetInfo, JobRequest
from sleaprtc.protocol.limits import MAX_DURATION_SEC
from sleaprtc.worker.sleap_nn.plan.settings import heads_for

CENTROID = PastModel("centroid", frame_count=100, epochs=10, duration_sec=100, batch_size=4)
CROPS = PastModel("centered_instance", frame_count=100, epochs=20, duration_sec=1000, batch_size=4)


def request(frames=100, epochs=10, model_type="centroid", megapixels=None, **config):
    return JobRequest(
        "job",
        "training",
        DatasetInfo(frame_count=frames, frame_megapixels=megapixels),
        {"model_type": model_type, "epochs": epochs, **config},
    )


def seconds(asked, *past, has_gpu=False):
    return 60 * estimated_duration_minutes(asked, past, has_gpu=has_gpu)


def guess(asked):
    return seconds(asked)


def test_without_a_past_a_gpu_is_taken_for_faster():
    assert 0 < seconds(request(), has_gpu=True) < seconds(request())


def test_the_past_replaces_the_guess():
    assert seconds(request(epochs=60), CENTROID) == pytest.approx(30 + 600, abs=1)
    assert seconds(request(epochs=60, frames=200), CENTROID) == pytest.approx(30 + 1200, abs=1)


def test_a_short_past_tells_as_much_as_a_long_one():
    """Training of 20 s is shorter than the overhead, and was once taken for a second."""
    short = PastModel("centroid", 100, 20, 20.0, batch_size=4)
    assert seconds(request(epochs=400), short) == pytest.approx(30 + 400, abs=1)


def test_each_model_of_a_job_counts_with_its_own_epochs():
    asked = request(model_type="topdown", epochs=200)
    assert seconds(asked, CENTROID, CROPS) == pytest.approx(30 + 200 * 10 + 200 * 50, abs=1)
    told = [{"model": "centroid", "epochs": 5}, {"model": "centered_instance", "epochs": 7}]
    asked = request(model_type="topdown", epochs=None, models=told)
    assert seconds(asked, CENTROID, CROPS) == pytest.approx(30 + 5 * 10 + 7 * 50, abs=1)
    asked = request(model_type="topdown", models=told[1:])
    assert seconds(asked, CENTROID, CROPS) == pytest.approx(30 + 10 * 50, abs=1)


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(CENTROID, model="bottomup"),
        attrs.evolve(CENTROID, frame_count=10),
        attrs.evolve(CENTROID, frame_count=1000),
        attrs.evolve(CENTROID, filters=32),
        attrs.evolve(CENTROID, megapixels=0.01),
        attrs.evolve(CENTROID, batch_size=64),
        attrs.evolve(CENTROID, duration_sec=0),
        attrs.evolve(CENTROID, epochs=0),
    ],
)
def test_what_does_not_compare_does_not_count(other):
    asked = request(megapixels=1.0)
    assert seconds(asked, other) == guess(asked)


def test_the_pixels_that_the_network_gets_count():
    past = attrs.evolve(CENTROID, megapixels=0.25)
    whole = seconds(request(megapixels=0.25), past)
    assert seconds(request(megapixels=0.5), past) - 30 == pytest.approx(2 * (whole - 30), abs=1)
    halved = request(megapixels=1.0, models=[{"model": "centroid", "scale": 0.5}])
    assert seconds(halved, past) == whole


def test_a_size_of_nothing_is_no_size():
    past = attrs.evolve(CENTROID, megapixels=0.25, duration_sec=500)
    assert seconds(request(megapixels=0), past) == seconds(request(), past) != guess(request())


def test_only_models_of_the_model_type_count():
    told = [{"model": "centroid", "epochs": 5}, {"model": "bottomup", "epochs": 7}]
    asked = request(model_type="centroid", epochs=None, models=told)
    assert seconds(asked, CENTROID) == pytest.approx(30 + 5 * 10, abs=1)
    asked = request(model_type="of tomorrow", epochs=None, models=told)
    bottomup = attrs.evolve(CENTROID, model="bottomup")
    assert seconds(asked, CENTROID, bottomup) == pytest.approx(30 + 5 * 10 + 7 * 10, abs=1)


def test_the_nearest_past_counts():
    far = PastModel("centroid", 300, 10, 9000, batch_size=4)
    assert seconds(request(), CENTROID, *[far] * 30) == seconds(request(), CENTROID)


pasts = st.builds(
    PastModel,
    st.sampled_from(["centroid", "bottomup"]),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.floats(0, 1e9, exclude_min=True),
    st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    st.none() | st.integers(1, 100),
    st.none() | st.integers(1, 100),
)
TINY = 5e-324
"""The smallest positive float: a quotient of it is 0, which has no logarithm."""


@given(st.lists(pasts), st.integers(1, 1000), st.integers(1, 1000), st.none() | st.floats(0.01, 10))
def test_more_epochs_never_take_less(past, epochs, more, megapixels):
    fewer = seconds(request(epochs=epochs, megapixels=megapixels), *past)
    assert fewer <= seconds(request(epochs=epochs + more, megapixels=megapixels), *past)


@given(
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.floats(0.01, 1e4),
    st.integers(1, 1000),
    st.floats(0.01, 10),
)
def test_the_same_job_again_takes_as_long_per_epoch(frames, ran, epoch_sec, epochs, megapixels):
    past = PastModel("centroid", frames, ran, ran * epoch_sec, megapixels, batch_size=4)
    took = seconds(request(frames, epochs, megapixels=megapixels), past)
    assert took == pytest.approx(30 + epochs * epoch_sec, abs=1, rel=1e-6)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
described = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["centroid", "centered_instance"]) | anything,
        **dict.fromkeys(("epochs", "batch_size", "scale", "crop_size", "filters"), anything),
    },
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": anything,
            "batch_size": anything,
            "model_type": st.sampled_from(list(MODEL_HEADS)) | anything,
            "models": st.lists(described) | anything,
        },
    ),
    st.none() | st.integers(),
    st.none() | st.floats(),
    st.lists(pasts, max_size=3),
    st.sampled_from(["training", "inference"]),
)
@example({"model_type": "centroid"}, 100, TINY, [attrs.evolve(CENTROID, megapixels=1.0)], "training")
@example({"model_type": "centroid"}, 100, 1.0, [attrs.evolve(CENTROID, megapixels=TINY)], "training")
@example({"models": [{"model": "centroid", "scale": TINY}]}, 100, TINY, [CENTROID], "training")
@example({"epochs": 1e300, "batch_size": TINY}, 10**400, 1.7e308, [CENTROID], "training")
@example({}, 10**400, None, [], "inference")
def test_nothing_a_stranger_says_breaks_it(config, frames, megapixels, past, job_type):
    info = DatasetInfo(frame_count=frames, frame_megapixels=megapixels)
    minutes = estimated_duration_minutes(JobRequest("job", job_type, info, config), past, has_gpu=False)
    assert 0 < minutes <= MAX_DURATION_SEC / 60


def test_it_knows_what_the_trainer_would_train():
    assert {model_type: heads_for(model_type) for model_type in MODEL_HEADS} == MODEL_HEADS
    asked = {True: request(epochs=None), False: request(epochs=None)}
    for has_gpu, most in MAX_EPOCHS.items():
        expected = seconds(request(epochs=most), has_gpu=has_gpu)
        assert seconds(asked[has_gpu], has_gpu=has_gpu) == expected
