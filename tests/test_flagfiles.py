"""Reading of flagfiles, and the ones in flags/."""

import importlib.util
import pathlib
import re
import sys

import pytest

from drw_tf import config, flagfiles, recipes

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = ROOT / "flags"
DATA = sorted(path.stem for path in (FLAGS / "data").glob("*.flags"))
ROWS = sorted(str(path.relative_to(FLAGS)) for path in (FLAGS / "rows").rglob("*.flags"))


@pytest.fixture
def folder(tmp_path):
    """folder({name: text}): the folder with these files."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def resolve(*arguments):
    return config.resolve(config.parse(["train", *arguments]))


# ---- reading


def test_flags_take_the_place_of_the_file_that_holds_them(folder):
    top = folder({"a.flags": "\n# a comment\n  --steps=100  \n// another\n--seed=3\n\n"})
    got = flagfiles.expand(["--seed=1", f"--flagfile={top}/a.flags", "--seed=2"])
    assert got == ["--seed=1", "--steps=100", "--seed=3", "--seed=2"]
    assert flagfiles.expand(["--flagfile", f"{top}/a.flags"]) == ["--steps=100", "--seed=3"]
    assert flagfiles.expand(["--", "--flagfile=x"]) == ["--", "--flagfile=x"]
    assert flagfiles.expand([]) == []


def test_a_nested_file_is_sought_beside_the_one_that_names_it(folder, monkeypatch):
    top = folder(
        {
            "rows/row.flags": "--flagfile=../data/set.flags\n--seed=2\n",
            "data/set.flags": "--flagfile = sizes.flags\n--dataset=cifar10\n",
            "data/sizes.flags": "--labeled_max=7\n",
            "other/data/set.flags": "--labeled_max=8\n",
        }
    )
    expected = ["--labeled_max=7", "--dataset=cifar10", "--seed=2"]
    for place in (top, top / "other"):
        monkeypatch.chdir(place)
        assert flagfiles.expand([f"--flagfile={top}/rows/row.flags"]) == expected
    monkeypatch.chdir(top / "rows")
    assert flagfiles.expand(["--flagfile=row.flags"]) == expected


def test_else_it_is_sought_from_the_working_directory(folder, monkeypatch):
    top = folder({"rows/row.flags": "--flagfile=data/set.flags\n", "data/set.flags": "--seed=4\n"})
    monkeypatch.chdir(top)
    assert flagfiles.expand(["--flagfile=rows/row.flags"]) == ["--seed=4"]


def test_one_file_may_be_named_twice_but_not_by_itself(folder):
    top = folder(
        {
            "twice.flags": "--flagfile=leaf.flags\n--seed=1\n--flagfile=leaf.flags\n",
            "leaf.flags": "--steps=50\n",
            "a.flags": "--flagfile=b.flags\n",
            "b.flags": "--flagfile=./a.flags\n",
        }
    )
    got = flagfiles.expand([f"--flagfile={top}/twice.flags"])
    assert got == ["--steps=50", "--seed=1", "--steps=50"]
    with pytest.raises(config.ConfigError) as caught:
        resolve(f"--flagfile={top}/a.flags")
    expected = (
        f"a flagfile must not name itself: {top}/a.flags -> {top}/b.flags -> {top}/./a.flags."
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "--flagfile=gone.flags\n",
            r"--flagfile=gone.flags cannot be read \(named in .*top.flags\)",
        ),
        ("--flagfile=.\n", "cannot be read .*: Is a directory"),
        ("--flagfile=\n", "--flagfile must name a file"),
        ("steps=3\n", r"every argument must be a flag .*, got 'steps=3'"),
        ("--nonsense=3\n", "nonsense"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(folder, text, message):
    top = folder({"top.flags": text})
    with pytest.raises(config.ConfigError, match=message) as caught:
        resolve(f"--flagfile={top}/top.flags")
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "a.flags").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(config.ConfigError, match=r"a\.flags cannot be read: it is not UTF-8"):
        resolve(f"--flagfile={tmp_path}/a.flags")


# ---- flags/data: (N1, M1, labeled, unlabeled pictures in all), the sums of the published counts

COUNTS = {
    "cifar10_r50": (1500, 3000, 4196, 8397),
    "cifar10_r100": (1500, 3000, 3720, 7443),
    "cifar10_r150": (1500, 3000, 3496, 6996),
    "cifar100_r10": (150, 300, 5835, 11720),
    "cifar100_r20": (150, 300, 4741, 9527),
    "cifar100_r10_darp_sizes": (300, 150, 11720, 5835),
    "cifar100_r20_darp_sizes": (300, 150, 9527, 4741),
    "cifar10_r100_unlabeled_uniform": (1500, 3000, 3720, 30000),
    "cifar10_r100_unlabeled_r50": (1500, 3000, 3720, 8397),
    "cifar10_r100_unlabeled_r150": (1500, 3000, 3720, 6996),
    "cifar10_r100_unlabeled_reversed": (1500, 3000, 3720, 7443),
}


@pytest.mark.parametrize("name", DATA)
def test_a_preset_of_data_gives_the_published_counts(name):
    from drw_tf.data import long_tail

    got = resolve(f"--flagfile={FLAGS}/data/{name}.flags")
    if name == "imagenet127":
        assert (got.dataset, got.labeled_fraction, got.image_size) == ("imagenet127", 0.1, 224)
        return
    classes = 100 if name.startswith("cifar100") else 10
    labeled = long_tail.class_counts(classes, got.labeled_max, got.imbalance_ratio)
    unlabeled = long_tail.class_counts(
        classes, got.unlabeled_max, got.unlabeled_imbalance_ratio, got.unlabeled_order
    )
    found = (labeled[0], unlabeled.max(), labeled.sum(), unlabeled.sum())
    assert (got.dataset, found) == (f"cifar{classes}", COUNTS[name])
    assert (unlabeled[0] < unlabeled[-1]) == name.endswith("reversed")


def test_there_is_a_preset_for_each_setting():
    assert set(DATA) == {*COUNTS, "imagenet127"}


# ---- flags/protocol, smoke


def test_protocols_say_what_they_are_called():
    for name in ("darp", "modern", "imagenet", "small_budget"):
        assert resolve(f"--flagfile={FLAGS}/protocol/{name}.flags").protocol == name
    short = resolve(f"--flagfile={FLAGS}/protocol/darp_300_epochs_drw.flags", "--dataset=cifar10")
    assert (short.steps, short.steps_per_epoch) == (300 * 500, 500)
    assert round(short.reweight_start * short.steps) == 200 * 500
    large = resolve(
        f"--flagfile={FLAGS}/protocol/imagenet_batch_1024.flags", "--dataset=imagenet127"
    )
    assert (large.batch_size, large.unlabeled_ratio) == (1024, 5)
    assert large.learning_rate == pytest.approx(0.4)  # .1 * 1024 / 256
    # 128,117 labeled pictures; passes over them in all and to warm up.
    assert large.steps * 1024 / 128117 == pytest.approx(3000, rel=2e-3)
    assert large.warmup_steps * 1024 / 128117 == pytest.approx(50, rel=2e-3)


def test_the_imagenet_protocol_is_that_of_the_published_code():
    path = FLAGS / "protocol" / "imagenet.flags"
    got = resolve(f"--flagfile={path}", "--dataset=imagenet127", "--method=fixmatch")
    # 3e-4 |w|^2 has the gradient 6e-4 w, and decay.add_l2 adds weight_decay w.
    assert (got.weight_decay_kind, got.weight_decay) == ("l2", 6e-4)
    assert (got.ema_decay, got.ema_warmup) == (0.999, False)
    # 50 of 3000 passes; both views are of one crop and flip.
    assert got.warmup_steps / got.steps == pytest.approx(50 / 3000, rel=1e-4)
    assert got.crop == "resized_once"
    assert "strong views differ from the published ones" in path.read_text(encoding="utf-8")


def test_the_small_budget_reads_as_many_pictures_an_epoch_as_the_paper():
    words = (f"--flagfile={FLAGS}/protocol/small_budget.flags", "--dataset=cifar10")
    small = resolve(*words, "--method=fixmatch")
    assert (small.model, small.steps, small.threshold) == ("wide_resnet_10_1", 10_000, 0.8)
    pictures = small.steps_per_epoch * small.batch_size * small.unlabeled_ratio
    assert pictures == 500 * 64
    for method in ("supervised", "drw", "crt", "mixmatch", "fixmatch_crest_plus"):
        assert resolve(*words, f"--method={method}").steps == 10_000


@pytest.mark.parametrize("name", ["darp_300_epochs_drw", "darp_300_epochs"])
def test_a_run_of_300_epochs_says_how_darp_begins_where_the_weights_do(name):
    path = FLAGS / "protocol" / f"{name}.flags"
    (advised,) = set(re.findall(r"--darp_start=[\d.]+\d", path.read_text(encoding="utf-8")))
    got = resolve(f"--flagfile={path}", "--dataset=cifar10", "--method=drw_darp", advised)
    assert round(got.darp_start * got.steps) == 200 * 500


def test_a_run_of_300_epochs_needs_no_method_that_weights():
    got = resolve(
        f"--flagfile={FLAGS}/protocol/darp_300_epochs.flags", "--dataset=cifar10", "--method=vat"
    )
    assert got.steps == 150_000


def test_the_smoke_run_is_short():
    got = resolve(f"--flagfile={FLAGS}/smoke.flags")
    assert (got.dataset, got.method, got.steps) == ("digits", "drw", 300)


@pytest.mark.parametrize("path", sorted(FLAGS.rglob("*.flags")), ids=lambda path: path.stem)
def test_a_flagfile_says_what_it_is_and_leaves_the_seed_open(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert "seed" not in config.parse(["train", f"--flagfile={path}"])


# ---- flags/rows


@pytest.fixture(scope="module")
def script():
    """scripts/make_row_flagfiles.py as a module."""
    path = ROOT / "scripts" / "make_row_flagfiles.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    sys.modules[path.stem] = module
    with pytest.MonkeyPatch.context() as patch:
        # It imports what lies beside it.
        patch.syspath_prepend(path.parent)
        spec.loader.exec_module(module)
    return module


def test_rows_are_what_the_script_writes(script):
    expected = {path.as_posix(): text for path, text in script.files().items()}
    found = {f"flags/{row}": (FLAGS / row).read_text(encoding="utf-8") for row in ROWS}
    differing = [
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    ]
    assert not differing, "run python scripts/make_row_flagfiles.py"


def test_a_word_that_the_script_does_not_know_writes_nothing(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_row_flagfiles.py", "--chek"])
    with pytest.raises(SystemExit) as caught:
        script.main()
    assert caught.value.code == 2
    assert not list(tmp_path.iterdir())


def test_every_row_and_setting_is_there():
    # Rows x settings: 19 x 5, 3 x 1, (2 + DRw) x 3, 5 variants x 5 with and without DARP.
    numbers = {"table1": 95, "table2": 3, "table3": 9, "table4": 50}
    assert {table: sum(row.split("/")[1] == table for row in ROWS) for table in numbers} == numbers


@pytest.mark.parametrize("row", ROWS)
def test_a_row_resolves_to_what_its_name_says(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got = resolve(f"--flagfile={FLAGS / row}")
    name = re.fullmatch(
        r"(\w+?)_(cifar10|cifar100|imagenet127)(?:_r(\d+))?", pathlib.Path(row).stem
    )
    assert (got.method, got.dataset) == (name[1], name[2])
    assert got.method in recipes.RECIPES
    if name[3]:
        assert got.imbalance_ratio == got.unlabeled_imbalance_ratio == float(name[3])
    assert got.protocol == ("imagenet" if name[2] == "imagenet127" else "darp")
    if "beta" in recipes.RECIPES[got.method].flags:
        # Fig. 4: .995 is best at R = 100 and 150, .999 at 50.
        assert got.beta == ("0.995" if name[3] in ("100", "150") else "0.999")
    if "darp_refresh" in recipes.RECIPES[got.method].flags:
        assert got.darp_refresh == (100 if name[2] == "cifar100" else 10)


@pytest.mark.parametrize(
    ("row", "first", "second"),
    [
        ("table1/drw_cifar10_r100", "Table 1, DRw; CIFAR-10, R = 100", "79.3 ± 0.27 %"),
        ("table1/supervised_cifar100_r20", "Table 1, Vanilla; CIFAR-100, R = 20", "49.5 ± 0.03 %"),
        ("table1/mixmatch_crest_cifar100_r10", None, "not reported"),
        ("table1/fixmatch_crest_plus_la_cifar10_r150", None, "76.5 ± 0.40 %"),
        ("table2/fixmatch_imagenet127", "Table 2, FixMatch; ImageNet127", "65.8 %"),
        ("table3/focal2_cifar10_r50", "Table 3, Focal loss, gamma = 2; CIFAR-10, R = 50", "78.0 %"),
        ("table4/frwlu_cifar10_r100", "Table 4, FRwLU; CIFAR-10, R = 100", "77.0 %"),
        ("table4/nrw_darp_cifar100_r20", None, "54.9 %"),
    ],
)
def test_a_row_begins_with_the_papers_number_and_the_command(row, first, second):
    lines = (FLAGS / "rows" / f"{row}.flags").read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    assert lines[: len(comments)] == comments
    assert first is None or comments[0] == f"# {first}"
    assert comments[1] == f"# the paper: {second}"
    assert comments[2] == "# ours: not run"
    assert comments[-1].startswith(f"# python -m drw_tf.train --flagfile=flags/rows/{row}.flags ")


def test_the_methods_that_see_labels_only_train_with_sgd():
    for method in ("supervised", "resampling", "crt"):
        got = resolve(f"--flagfile={FLAGS}/rows/table1/{method}_cifar10_r50.flags")
        assert (got.optimizer, got.learning_rate, got.schedule) == ("sgd", 0.1, "step")
        assert (got.steps, got.weight_decay, got.batch_size) == (250_000, 5e-4, 64)
        assert got.warmup_steps == 0


@pytest.mark.parametrize("setting", ["cifar10_r50", "cifar10_r150", "cifar100_r20"])
def test_ldam_trains_as_its_published_code_for_as_many_steps_as_the_others(setting):
    from drw_tf.ops import schedules

    got = resolve(f"--flagfile={FLAGS}/rows/table1/ldam_drw_{setting}.flags")
    assert (got.optimizer, got.learning_rate, got.batch_size) == ("sgd", 0.1, 128)
    assert (got.weight_decay_kind, got.weight_decay) == ("l2", 2e-4)
    assert (got.steps, got.schedule, got.deferred_start) == (250_000, "step_ldam", 0.8)
    assert got.warmup_steps / got.steps == 5 / 200  # epochs
    rate = schedules.LearningRate(got.schedule, 0.1, got.steps, got.warmup_steps)
    # Epochs 5, 160 and 180 of 200.
    edges = (6_250, 199_999, 200_000, 224_999, 225_000)
    expected = [0.1, 0.1, 1e-3, 1e-3, 1e-5]
    assert [float(rate(k)) for k in edges] == pytest.approx(expected, rel=1e-6)


def test_the_other_sizes_can_be_appended_to_a_row():
    row = f"--flagfile={FLAGS}/rows/table1/drw_cifar100_r10.flags"
    got = resolve(row, f"--flagfile={FLAGS}/data/cifar100_r10_darp_sizes.flags")
    assert (got.labeled_max, got.unlabeled_max, got.method) == (300, 150, "drw")
