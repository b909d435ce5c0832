"""What is made of a run's folder: opened where it lies, and left as it was by what is refused."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from drw_tf import config as configuration
from drw_tf import finished_run, recipes, run_folder
from tests import small_network


@pytest.fixture(scope="module", autouse=True)
def _network():
    with pytest.MonkeyPatch.context() as patch:
        small_network.stand_in(patch)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of own pictures, each picture another one."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for folder, names in {
        "labeled": ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"),
        "more": ("0", "1"),
        "held": ("a/5", "b/5"),
        "others": ("a/0", "c/0"),
    }.items():
        for name in names:
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)
    # One of the unlabeled ones, by a link.
    for name in "ab":
        (root / "of_the_pool" / name).mkdir(parents=True)
    (root / "of_the_pool" / "a" / "1.png").symlink_to(root / "more" / "1.png")
    shutil.copy(root / "held" / "b" / "5.png", root / "of_the_pool" / "b")
    return root


@pytest.fixture(scope="module")
def resolve(pictures):
    """resolve(workdir, flag=value, ...): of a run of 4 steps on them."""

    def make(workdir, **given):
        usual = {"dataset": "folder", "method": "supervised", "model": "small_resnet"}
        usual |= {"labeled_dir": f"{pictures}/labeled", "unlabeled_dir": f"{pictures}/more"}
        usual |= {"image_size": 8, "batch_size": 2, "steps": 4, "steps_per_epoch": 2}
        usual |= {"tensorboard": False, "export": False, "workdir": str(workdir)}
        return configuration.resolve({**usual, **given})

    return make


@pytest.fixture(scope="module")
def half_trained(resolve, tmp_path_factory):
    from drw_tf import session

    folder = tmp_path_factory.mktemp("runs") / "run"
    session.train(resolve(folder, stop_at_step=2), ["test"])
    return folder


@pytest.fixture
def run(half_trained, tmp_path):
    """Folder of a run of which 2 of 4 steps are trained."""
    return shutil.copytree(half_trained, tmp_path / "run")


@pytest.mark.parametrize("stop", [2, 4])  # finished, and to go on with
@pytest.mark.parametrize(
    ("flag", "place", "message"),
    [
        ("test_dir", "nowhere", "is not a folder"),
        ("labeled_dir", "others", "holds a run on other data"),
    ],
)
def test_a_refused_command_leaves_the_flags_of_a_run(
    run, resolve, pictures, stop, flag, place, message
):
    from drw_tf import faults, session

    before = (run / "config.json").read_text()
    config = resolve(run, stop_at_step=stop, **{flag: f"{pictures}/{place}"})
    with pytest.raises(faults.USER_ERRORS, match=message):
        session.train(config, ["test"])
    assert (run / "config.json").read_text() == before


def test_flags_that_the_devices_refuse_are_not_those_of_the_run(run, resolve, monkeypatch):
    from drw_tf import session
    from drw_tf.training import devices

    before = (run / "config.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(devices, "compiles", _on_two_gpus(devices.compiles))
        with pytest.raises(ValueError, match="--jit_compile=on must have one replica"):
            session.train(resolve(run, jit_compile="on"), ["test"])
    assert (run / "config.json").read_text() == before
    for given in ({}, {"checkpoint_steps": 2}):  # it goes on, and is finished
        config = resolve(run, **given)
        assert session.train(config, ["test"])["steps"] == 4
        assert json.loads((run / "config.json").read_text()) == dict(config)


def _on_two_gpus(compiles):
    two = SimpleNamespace(num_replicas_in_sync=2)
    return lambda choice, chosen, *more: compiles(choice, two, *more)


def test_a_compiled_run_is_opened_where_it_could_not_be_trained(run, monkeypatch):
    from drw_tf.training import devices

    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "jit_compile": "on"}))
    monkeypatch.setattr(devices, "compiles", _on_two_gpus(devices.compiles))
    opened, state = finished_run.open_run(run)
    assert state["step"] == 2
    assert opened.config.jit_compile == "on"


@pytest.mark.parametrize(
    ("place", "on_bad_image", "told"),
    [
        ("held", "fail", None),
        ("held", "skip", None),  # decoded at once
        ("of_the_pool", "fail", "it had 2 unlabeled pictures, now 1; its own numbers count."),
    ],
)
def test_pictures_for_validation_that_came_since_are_no_other_training(
    run, pictures, caplog, place, on_bad_image, told
):
    places = {"validation_dir": f"{pictures}/{place}", "on_bad_image": on_bad_image}
    opened, _ = finished_run.open_run(run, places=places)
    assert len(opened.split.validation) == 2
    said = [line for line in caplog.messages if "was trained on other pictures" in line]
    assert [told in line for line in said] == [True] * (told is not None)


def test_other_training_pictures_are_told_beside_new_ones_for_validation(
    run, pictures, caplog, tmp_path
):
    labeled = shutil.copytree(pictures / "labeled", tmp_path / "labeled")
    (labeled / "a" / "2.png").rename(labeled / "a" / "9.png")
    finished_run.open_run(
        run, places={"labeled_dir": str(labeled), "validation_dir": f"{pictures}/held"}
    )
    assert "was trained on other pictures: the files have other names" in caplog.text


def test_the_flags_of_a_run_resolve_to_themselves(tmp_path):
    (tmp_path / "checkpoints" / "step_000000002").mkdir(parents=True)
    for method in recipes.RECIPES:
        for preset in ("fixmatch", "darp_cifar100"):
            given = {"dataset": "cifar10", "method": method, "randaugment": preset}
            config = configuration.resolve(given)
            (tmp_path / "config.json").write_text(config.to_json())
            assert dict(run_folder.configuration_of(tmp_path)) == dict(config), given
