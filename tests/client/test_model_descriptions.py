"""What a request says of the models, from which workers tell how long they take."""

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.client.inputs.model_descriptions import ModelDescription, described_models
from sleaprtc.client.jobs.train import training_order
from tests.support.lab import make_labels

from ..support.datasets import read_dataset

CONFIG = """
data_config: {preprocessing: {scale: 0.5, crop_size: null}}
model_config:
  backbone_config: {unet: {filters: 16}, convnext: null}
  head_configs: {centroid: {confmaps: {sigma: 2.5}}, bottomup: null}
trainer_config: {max_epochs: 200, train_data_loader: {batch_size: 4}}
"""


async def test_a_request_tells_what_its_configurations_ask_for(tmp_path):
    config = tmp_path / "centroid.yaml"
    config.write_text(CONFIG)
    labels = make_labels(tmp_path / "flies.pkg.slp")
    order = await training_order(labels, out_dir=tmp_path / "out", configs=[config])
    assert order.settings.as_json()["models"] == [
        {"model": "centroid", "epochs": 200, "batch_size": 4, "scale": 0.5, "filters": 16}
    ]


async def test_models_known_in_part_only_are_not_told(tmp_path):
    config, old = tmp_path / "centroid.yaml", tmp_path / "old.json"
    config.write_text(CONFIG)
    old.write_text('{"model": {"heads": {"centered_instance": {}, "centroid": null}}, "optimization": {}}')
    labels = make_labels(tmp_path / "flies.pkg.slp")
    order = await training_order(labels, out_dir=tmp_path / "out", configs=[config, old])
    assert order.settings.as_json() == {"model_type": "topdown"}


def test_the_size_of_the_images_is_told(tmp_path):
    path = make_labels(tmp_path / "flies.pkg.slp")
    assert read_dataset(path).info.frame_megapixels is None
    with h5py.File(path, "a") as file:
        video = file.create_dataset("video0/video", data=[0])
        video.attrs["height"], video.attrs["width"] = 500, 400
        del file["videos_json"]
        file["videos_json"] = [b'{"backend": {"filename": ".", "dataset": "video0/video"}}']
    assert read_dataset(path).info.frame_megapixels == 0.2


def test_what_is_left_out_is_told_as_sleap_nn_has_it():
    config = {"model_config": {"head_configs": {"centroid": {}}}, "trainer_config": {"max_epochs": 7}}
    expected = {"epochs": 7, "batch_size": 4, "scale": 1.0}
    assert described_models([config]) == (ModelDescription("centroid", expected),)


@pytest.mark.parametrize("epochs", [float("inf"), float("nan"), 10**400, -1, True, "200"])
def test_what_is_no_number_of_epochs_is_not_told(epochs):
    config = {
        "model_config": {"head_configs": {"centroid": {}}},
        "trainer_config": {"max_epochs": epochs},
    }
    (described,) = described_models([config])
    assert "epochs" not in described.numbers


@given(
    st.dictionaries(
        st.sampled_from(["data_config", "model_config", "trainer_config"]),
        st.recursive(
            st.none() | st.text() | st.floats(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_configuration_can_be_looked_at(config):
    assert described_models([config]) == ()
