"""How long a training may take."""

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.jobs.estimate import PastJob, estimated_duration_minutes
from sleaprtc.protocol.jobs import DatasetInfo, JobRequest


def request(frames=100, epochs=10, model_type="centroid"):
    return JobRequest(
        "job",
        "training",
        DatasetInfo(frame_count=frames),
        {"model_type": model_type, "epochs": epochs},
    )


def test_without_a_past_a_gpu_is_taken_for_faster():
    on_gpu = estimated_duration_minutes(request(), [], has_gpu=True)
    assert 0 < on_gpu < estimated_duration_minutes(request(), [], has_gpu=False)


def test_the_past_replaces_the_guess():
    past = [PastJob("centroid", frame_count=100, epochs=10, duration_sec=600)]
    assert 9 < estimated_duration_minutes(request(), past, has_gpu=True) < 11
    assert 18 < estimated_duration_minutes(request(epochs=20), past, has_gpu=True) < 21


def test_the_same_model_type_counts_for_more_than_another():
    past = [PastJob("bottomup", 100, 10, 6000), PastJob("centroid", 100, 10, 600)]
    assert estimated_duration_minutes(request(), past, has_gpu=True) < 11


@given(
    st.dictionaries(
        st.sampled_from(["epochs", "model_type"]), st.none() | st.floats() | st.text() | st.integers()
    )
)
def test_nothing_a_stranger_says_breaks_it(config):
    minutes = estimated_duration_minutes(JobRequest("job", "training", config=config), [], has_gpu=False)
    assert 0 < minutes < float("inf")
