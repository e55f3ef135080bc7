"""What a training can't be is known before its dataset is sent."""

import h5py
import pytest

from sleaprtc.client.inputs.training_configs import check_training, read_training_config
from sleaprtc.client.jobs.order.settings import TrainingSettings
from sleaprtc.client.jobs.train import training_order
from sleaprtc.errors import EXIT_USAGE, InvalidTrainingConfigError
from sleaprtc.formats.head_fit import Labelled

from ..support.datasets import read_dataset
from ..support.lab import make_package
from ..worker.sleap_nn.slp_files import write_slp

ONE, TWO = (Labelled(animals, ("head", "tail"), 1) for animals in (1, 2))


def config(head: str, settings: str = "{confmaps: {}}"):
    other = "centroid" if head != "centroid" else "bottomup"
    heads = f"head_configs: {{{head}: {settings}, {other}: null}}"
    text = f"model_config: {{backbone_config: {{unet: {{}}}}, {heads}}}"
    return read_training_config("a.yaml", text.encode())


@pytest.mark.parametrize("head", ["single_instance", "centered_instance", "bottomup"])
def test_a_head_that_workers_train(head):
    assert config(head).head == head


@pytest.mark.parametrize(
    "head", ["multi_class_topdown", "multi_class_bottomup", "instance_segmentation", "x"]
)
def test_a_head_that_no_worker_trains(head):
    with pytest.raises(InvalidTrainingConfigError, match=f"isn't supported: {head}. There are:") as caught:
        config(head)
    assert caught.value.exit_status == EXIT_USAGE


@pytest.mark.parametrize(
    ("heads", "count"),
    [
        ("{}", 0),
        ("{centroid: null}", 0),
        ("{centroid: {confmaps: {}}, bottomup: {confmaps: {}}}", 2),
    ],
)
def test_a_configuration_trains_one_model(heads, count):
    text = f"model_config: {{backbone_config: {{unet: {{}}}}, head_configs: {heads}}}"
    with pytest.raises(InvalidTrainingConfigError, match=f"exactly one model .* and has {count}"):
        read_training_config("a.yaml", text.encode())


@pytest.mark.parametrize(
    ("heads", "head"), [('"centroid": {}', "centroid"), ('"multi_instance": {}', "bottomup")]
)
def test_an_older_profile(heads, head):
    text = f'{{"model": {{"heads": {{{heads}, "single_instance": null}}}}, "optimization": {{}}}}'
    found = read_training_config("a.json", text.encode())
    assert (found.head, found.head_settings) == (head, {})


def test_an_older_profile_that_no_worker_trains():
    text = b'{"model": {"heads": {"multi_class_topdown": {}}}, "optimization": {}}'
    with pytest.raises(InvalidTrainingConfigError, match="multi_class_topdown"):
        read_training_config("a.json", text)


@pytest.mark.parametrize(
    ("configs", "model_type", "labelled", "said"),
    [
        ([], "base", TWO, "frames with 2 animals"),
        ([config("single_instance")], None, TWO, "frames with 2 animals"),
        ([], "bottomup", Labelled(2, ("head",), 0), "has no edges"),
        ([config("centroid", "{confmaps: {anchor_part: nose}}")], None, TWO, "isn't a node"),
        ([config("bottomup", "{pafs: {edges: [[head, nose]]}}")], None, TWO, "aren't nodes"),
    ],
)
def test_labels_that_can_not_train_it(configs, model_type, labelled, said):
    with pytest.raises(InvalidTrainingConfigError, match=said):
        check_training(configs, model_type, labelled)


@pytest.mark.parametrize(
    ("configs", "model_type", "labelled"),
    [
        ([], "base", ONE),
        ([], None, TWO),
        ([], "base", None),
        ([config("single_instance")], "topdown", TWO),  # which isn't trained
        ([config("bottomup", "{pafs: {edges: null}}")], None, TWO),
        ([config("centroid", "{confmaps: {anchor_part: null}}")], None, TWO),
    ],
)
def test_labels_that_may_train_it(configs, model_type, labelled):
    check_training(configs, model_type, labelled)


@pytest.mark.parametrize("model_type", ["base", "topdown", None])
async def test_validation_labels_that_do_not_fit_are_known_too(tmp_path, model_type):
    labels, other, two = (
        write_slp(tmp_path / f"{name}.pkg.slp", animals_per_frame=(animals,))
        for name, animals in (("flies", 1), ("other", 1), ("two", 2))
    )
    for path in (labels, other, two):
        with h5py.File(path, "r+") as file:
            file["frames"] = [0]
    with h5py.File(other, "r+") as file:
        text = file["metadata"].attrs["json"]
        text = text if isinstance(text, str) else text.decode()
        file["metadata"].attrs["json"] = text.replace('"head"', '"hat"')
    settings = TrainingSettings(model_type)
    with pytest.raises(InvalidTrainingConfigError, match="the nodes hat, tail, and the others head, tail"):
        await training_order(labels, out_dir=tmp_path, validation=other, settings=settings)
    if model_type == "base":
        with pytest.raises(InvalidTrainingConfigError, match="validation labels have frames with 2 animals"):
            await training_order(labels, out_dir=tmp_path, validation=two, settings=settings)
    else:
        order = await training_order(labels, out_dir=tmp_path, validation=two, settings=settings)
        order.scratch.remove()


async def test_it_is_known_before_a_worker_is_asked(tmp_path):
    labels = write_slp(tmp_path / "flies.pkg.slp", animals_per_frame=(1, 2, 1))
    with h5py.File(labels, "r+") as file:
        file["frames"] = [0, 1, 2]
    package = make_package(tmp_path / "job.zip", labels, ["single_instance"])
    assert read_dataset(labels).labelled == TWO
    for dataset, settings in ((labels, TrainingSettings("base")), (package, None)):
        with pytest.raises(InvalidTrainingConfigError, match="2 animals"):
            await training_order(dataset, out_dir=tmp_path / "out", settings=settings)
    await training_order(labels, out_dir=tmp_path / "out", settings=TrainingSettings("topdown"))
