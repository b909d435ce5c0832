"""Precedence, refusals and help of the command line."""

import re
import subprocess
import sys

import pytest

from drw_tf import config, flag_table, protocols, recipes

NEEDED = {"folder": ["--labeled_dir=a"], "csv": ["--labels_csv=a.csv"]}


def resolve(*arguments):
    return config.resolve(config.parse(["train", *arguments]))


def test_typed_beats_data_set_beats_protocol():
    assert resolve().learning_rate == 0.03  # modern
    assert resolve().steps == 3000  # digits, though modern says 250,000
    assert resolve("--steps=500").steps == 500


def test_another_protocol_keeps_what_belongs_to_the_data():
    got = resolve("--dataset=cifar10", "--protocol=modern")
    assert got.optimizer == "sgd"
    assert got.labeled_max == 1500
    assert got.model == "wide_resnet_28_2"


def test_protocol_of_darp_is_what_its_code_does():
    got = resolve("--dataset=cifar10", "--method=fixmatch")
    assert got.protocol == "darp"
    expected = {
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay_kind": "decoupled",
        "weight_decay": 0.02,
        "ema_decay": 0.999,
        "ema_warmup": False,
        "forward": "separate",
        "strong_views": 2,
        "unlabeled_ratio": 1,
        "batch_size": 64,
        "threshold": 0.95,
        "lambda_u": 1.0,
        "steps": 250_000,
        "steps_per_epoch": 500,
    }
    assert {name: got[name] for name in expected} == expected


def test_imagenet_learning_rate_follows_the_batch():
    got = resolve("--protocol=imagenet", "--batch_size=128")
    assert got.learning_rate == pytest.approx(0.05)


def test_published_networks_keep_their_batch_norm_unless_it_is_typed():
    for protocol in protocols.PROTOCOLS:
        got = resolve("--model=applications/VGG16", f"--protocol={protocol}")
        assert (got.batch_norm_momentum, got.batch_norm_epsilon) == (None, None)
    got = resolve("--model=applications/EfficientNetB0", "--batch_norm_momentum=0.8")
    assert (got.batch_norm_momentum, got.batch_norm_epsilon) == (0.8, None)
    got = resolve("--model=wide_resnet_10_1")
    assert (got.batch_norm_momentum, got.batch_norm_epsilon) == (0.9, 1e-5)


def test_flags_of_other_methods_are_not_in_the_record():
    assert resolve("--method=supervised").beta is None


def test_later_flags_win_over_a_flagfile(tmp_path):
    path = tmp_path / "some.flags"
    path.write_text("# a comment\n--steps=500\n--beta=0.9\n")
    assert resolve(f"--flagfile={path}", "--steps=1000").steps == 1000
    assert resolve(f"--flagfile={path}").beta == "0.9"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--cluster_hosts=", "--cluster_hosts must be at least one value, with commas between"),
        ("--beta=1.0", "--beta must be a number in [0, 1), auto, auto_mean or literal, got 1.0."),
        (
            "--max_weight_ratio=0.5",
            "--max_weight_ratio must be 0 or a number in [1, infinity), got",
        ),
        (
            "--max_weight_ratio=inf",
            "--max_weight_ratio must be 0 or a number in [1, infinity), got",
        ),
        ("--pseudo_smoothing=1", "--pseudo_smoothing must be a number in [0, 1), got 1.0."),
        ("--reweight_start=1", "--reweight_start must be a number in [0, 1), got 1.0."),
        ("--darp_start=1", "--darp_start must be a number in [0, 1), got 1.0."),
        ("--threshold=1.5", "--threshold must be a number in [0, 1], got 1.5."),
        ("--threshold=nan", "--threshold must be a number in [0, 1], got nan."),
        ("--steps=0", "--steps must be a whole number in [1, 1000000000], got 0."),
        ("--steps=ten", "--steps must be a whole number in [1, 1000000000], got 'ten'."),
        ("--steps=1.5", "--steps must be a whole number in [1, 1000000000], got '1.5'."),
        ("--eval_batch_size=1" + 30 * "0", "--eval_batch_size must be a whole number in"),
        ("--ema_decay=", "--ema_decay must be a number in [0, 1), got ''."),
        ("--fresh=maybe", "--fresh must be true or false, got 'maybe'."),
        ("--workdir=", "--workdir must be the name of a folder, got ''."),
        ("--model=wide_resnet_27_2", "--model must be wide_resnet_<depth>_<width> with a depth"),
        ("--model=resnet51", "or applications/<name in keras.applications>, got resnet51."),
        ("--init_weights=x.npz", "--init_weights must be none, imagenet, a file that ends in .h5"),
        ("--init_weights=", "--init_weights must be none, imagenet, a file that ends in .h5"),
        ("--init_weights=imagenet", "for --model=applications/... only, not for small_resnet."),
        ("--imbalance_ratio=41", "--imbalance_ratio must be at most --labeled_max=40, got 41"),
        ("--export_temperature=fit", "--export_temperature=fit needs pictures that were held out"),
        ("--export_logit_adjustment", "at test time, got --method=drw."),
        (
            "--steps=1001",
            "--steps must be a multiple of --steps_per_epoch=50, got 1001; give "
            "another one, or --steps_per_epoch as well.",
        ),
        ("--method=drx", "--method must be one of"),
        ("--dataset=mnist1", "--dataset must be one of"),
        ("--protocol=", "--protocol must be one of darp, imagenet, modern, small_budget, got ''."),
        ("--forward=both", "--forward must be one of joint, separate, got both."),
        ("--treshold=0.9", "Did you mean: threshold"),
        ("--stop_at_step=125", "--stop_at_step must be a multiple of --steps_per_epoch=50 and"),
        ("--stop_at_step=9999000", "at most --steps=3000, got 9999000."),
        ("stray", "every argument must be a flag"),
        ("--flagfile=/nowhere/at.all", "/nowhere/at.all"),
    ],
)
def test_bad_values_are_refused_in_one_line(argument, message):
    with pytest.raises(config.ConfigError) as caught:
        resolve(argument)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method=crt", "--steps=50"], "--steps must be at least 100, one epoch of"),
        (["--method=fixmatch_crest", "--steps=250"], "for each of the 6 stages of --method="),
        (
            ["--method=fixmatch_crest", "--steps=350", "--warmup_steps=50"],
            "--warmup_steps must be less than 50, the steps of the shortest of",
        ),
        (
            ["--method=fixmatch_crest_plus_la", "--la_prior=effective"],
            "--la_prior must be labeled or pseudo for methods without weights on the labeled loss, "
            "got effective with --method=fixmatch_crest_plus_la.",
        ),
        (["--method=mixmatch", "--jit_compile=on"], "--jit_compile must be auto or off"),
        (
            ["--export_temperature=2", "--noexport"],
            "--export_temperature is not read with --export=false",
        ),
        (["--max_skipped_steps=3"], "--max_skipped_steps is not read with --on_nonfinite=stop"),
        (["--cluster_timeout=5"], "--cluster_timeout is not read with --strategy=mirrored"),
        (
            ["--dataset=folder", "--labeled_dir=a", "--image_size=96", "--in_memory_gigabytes=1"],
            "--in_memory_gigabytes is not read with --crop=resized",
        ),
        (
            ["--dataset=imagenet127", "--method=supervised", "--randaugment=usb"],
            "--randaugment is not read with --crop=resized_once by --method=supervised, which has "
            "no strong views, got usb.",
        ),
        (
            ["--unlabeled_imbalance_ratio=100"],
            "--unlabeled_imbalance_ratio must be at most --unlabeled_max=80, got 100",
        ),
        (
            ["--unlabeled_order=uniform", "--unlabeled_imbalance_ratio=20"],
            "--unlabeled_imbalance_ratio must be 1 or left out with --unlabeled_order=uniform, "
            "got 20.",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused_in_one_line(arguments, message):
    with pytest.raises(config.ConfigError) as caught:
        resolve(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [[], ["--unlabeled_imbalance_ratio=1"]])
def test_a_uniform_pool_has_no_ratio(words):
    got = resolve("--unlabeled_order=uniform", "--imbalance_ratio=10", *words)
    assert got.unlabeled_imbalance_ratio is None
    assert resolve("--imbalance_ratio=10").unlabeled_imbalance_ratio == 10
    # What a run has recorded gives the same configuration again.
    recorded = {name: value for name, value in got.items() if value is not None}
    assert config.resolve(recorded) == got


def test_an_effective_prior_is_for_methods_that_weigh_the_labeled_loss():
    for method, recipe in recipes.RECIPES.items():
        if "la_prior" in recipe.flags:
            words = (f"--method={method}", "--la_prior=effective")
            if "labeled_weights" in recipe.rebalancers:
                assert resolve(*words).la_prior == "effective"
            else:
                with pytest.raises(config.ConfigError, match="--la_prior must be labeled or"):
                    resolve(*words)


def test_an_export_that_the_flags_allow_is_not_refused():
    resolve("--method=drw_la", "--export_logit_adjustment")
    resolve("--method=drw_cdmad", "--export_logit_adjustment")
    resolve("--export_temperature=fit", "--validation_per_class=8")
    own = ["--dataset=folder", "--labeled_dir=l", "--export_temperature=fit"]
    resolve(*own, "--validation_dir=v")
    with pytest.raises(
        config.ConfigError, match="give --validation_per_class, --validation_dir or a"
    ):
        resolve(*own)
    with pytest.raises(config.ConfigError, match="--unlabeled_prior must be labeled for own pic"):
        resolve(*own[:2], "--method=drw_darp", "--unlabeled_prior=true")
    # Whether a table has some is not known before it is read.
    resolve("--dataset=csv", "--labels_csv=t.csv", "--export_temperature=fit")
    resolve("--export_temperature=none", "--noexport")


def test_every_program_checks_the_values_of_its_own_table():
    number = flag_table.Flag(
        "size", "int", "a size", "x", 2, allowed="at least 1", check=lambda value: value >= 1
    )
    assert config.parse(["any", "--size=1"], [number]) == {"size": 1}
    with pytest.raises(config.ConfigError, match="--size must be at least 1, got 0"):
        config.parse(["any", "--size=0"], [number])


def test_a_flag_that_the_method_does_not_read_is_refused():
    with pytest.raises(config.ConfigError, match=r"--beta is not read by --method=fixmatch"):
        resolve("--method=fixmatch", "--beta=0.9")


def test_a_flag_that_the_data_set_does_not_read_is_refused():
    with pytest.raises(config.ConfigError, match="--labeled_dir is not read by --dataset=digits"):
        resolve("--labeled_dir=x")


@pytest.mark.parametrize("name", ["mnist", "emnist/letters", "visual_domain_decathlon/svhn:1.2.0"])
def test_what_is_never_mirrored_reads_no_flag_for_it(name):
    assert config.resolve({"dataset": f"tfds:{name}"}).flip is None
    with pytest.raises(config.ConfigError, match=f"--flip is not read by --dataset=tfds:{name}"):
        config.resolve({"dataset": f"tfds:{name}", "flip": True})
    assert config.resolve({"dataset": "tfds:stl10"}).flip
    assert not config.resolve({"dataset": "tfds:dtd", "flip": False}).flip


def test_a_preset_is_recorded_where_it_pads_with_black_or_makes_strong_views():
    for name, recipe in recipes.RECIPES.items():
        for dataset, preset in (("imagenet127", "fixmatch"), ("digits", "digits")):
            got = resolve(f"--dataset={dataset}", f"--method={name}").randaugment
            assert got == (preset if recipe.has_strong_views else None), name
        assert resolve("--dataset=cifar10", f"--method={name}").randaugment == "darp_cifar10"
    reflected = resolve("--dataset=cifar10", "--method=supervised", "--randaugment=fixmatch")
    assert reflected.randaugment is None


@pytest.mark.parametrize(
    ("words", "batch"),
    [
        (["--dataset=cifar10"], 500),
        (["--dataset=folder", "--labeled_dir=x"], 500),
        (["--dataset=folder", "--labeled_dir=x", "--image_size=96"], 500),
        (["--dataset=folder", "--labeled_dir=x", "--image_size=192"], 125),
        (["--dataset=imagenet127"], 91),  # 500 * 96 ** 2 / 224 ** 2
        (["--dataset=folder", "--labeled_dir=x", "--image_size=1024"], 4),
        (["--dataset=imagenet127", "--eval_batch_size=300"], 300),
    ],
)
def test_fewer_large_pictures_are_judged_at_once(words, batch):
    assert resolve(*words).eval_batch_size == batch


def test_own_pictures_need_their_place():
    with pytest.raises(config.ConfigError, match="--labeled_dir must be given"):
        resolve("--dataset=folder")


def test_imagenet127_needs_nothing_but_its_name():
    got = resolve("--dataset=imagenet127")
    assert (got.threshold, got.lambda_u, got.unlabeled_ratio, got.beta) == (0.7, 10, 5, "0.999")
    assert (got.model, got.image_size, got.crop) == ("resnet50", 224, "resized_once")
    assert got.learning_rate == pytest.approx(0.025)  # .1 * 64 / 256
    assert got.reweight_start == 0.4


def test_differences_name_only_flags_that_change_the_result():
    old, new = resolve(), resolve("--seed=1", "--workdir=elsewhere", "--keep_checkpoints=9")
    assert config.differences(old, new) == ["--seed: was 0, now 1"]


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        *((typed, "0.9") for typed in ("0.9", ".9", "0.90", "9e-1")),
        *((typed, "0.995") for typed in ("0.995", ".995")),
        *((typed, "0.0") for typed in ("0", "-0", "0.0")),
        *((word, word) for word in ("auto", "auto_mean", "literal")),
    ],
)
def test_a_beta_is_recorded_in_one_spelling(typed, recorded):
    got = resolve(f"--beta={typed}")
    assert got.beta == recorded
    # Older runs have it as it was typed.
    assert config.differences({**got, "beta": typed}, got) == []
    other = resolve("--beta=0.5")
    assert config.differences({**got, "beta": typed}, other) == [f"--beta: was {recorded}, now 0.5"]


def test_a_flag_younger_than_a_run_does_not_make_it_another_run():
    old = {k: v for k, v in resolve().items() if k != "randaugment_order"}
    assert config.differences(old, resolve()) == []
    assert config.differences(old, resolve("--randaugment_order=drawn")) == [
        "--randaugment_order: was composed, now drawn"
    ]


def test_a_flag_that_a_method_did_not_read_yet_does_not_make_it_another_run():
    now = resolve("--method=frwu")
    assert now.reweight_start == 0
    old = {**now, "reweight_start": None}
    assert config.differences(old, now) == []
    later = resolve("--method=frwu", "--reweight_start=0.3")
    assert config.differences(old, later) == ["--reweight_start: was 0.0, now 0.3"]


def test_every_protocol_and_data_set_names_known_flags_and_valid_values():
    for table in (protocols.PROTOCOLS, protocols.DATASETS):
        for values in table.values():
            for name, value in values.items():
                if name == "reads":
                    assert set(value) <= set(flag_table.BY_NAME)
                    continue
                assert value is None or flag_table.BY_NAME[name].check(value), name


def test_help_says_which_data_sets_have_another_value_of_a_flag_than_its_default():
    others = {name for name, one in protocols.DATASETS.items() if one.get("darp_refresh") == 100}
    text = flag_table.BY_NAME["darp_refresh"].help
    assert "100 if not typed on cifar100, tfds:stl10 and the imagenet127 sets" in text
    assert protocols.dataset("tfds:stl10:1.0.0")["darp_refresh"] == 100
    assert protocols.dataset("tfds:mnist").get("darp_refresh") is None
    assert others == {
        name for name in protocols.DATASETS if re.search("cifar100|imagenet127", name)
    }


@pytest.mark.parametrize(
    ("dataset", "words", "values", "close"),
    [
        # 6 times the square root of the number of values over that of 32 x 32 x 3.
        ("cifar10", [], 32 * 32 * 3, 1e-12),
        ("fashion_mnist", [], 28 * 28, 0.02),
        ("digits", [], 8 * 8, 0.05),
        ("folder", [], 64 * 64 * 3, 1e-12),
        ("folder", ["--image_size=128"], 128 * 128 * 3, 1e-12),
        ("csv", ["--image_size=32"], 32 * 32 * 3, 1e-12),
        ("imagenet127", [], 224 * 224 * 3, 1e-12),
        ("imagenet127", ["--image_size=112"], 112 * 112 * 3, 1e-12),
        ("small_imagenet127_64", [], 64 * 64 * 3, 1e-12),
    ],
)
def test_radius_of_vat_grows_with_the_square_root_of_a_pictures_values(
    dataset, words, values, close
):
    words = [f"--dataset={dataset}", "--method=vat", *NEEDED.get(dataset, ()), *words]
    assert resolve(*words).vat_radius == pytest.approx(6 * (values / 3072) ** 0.5, rel=close)
    assert resolve(*words, "--vat_radius=2").vat_radius == 2


def test_help_says_where_the_radius_of_vat_follows_from_the_size():
    found = {name for name, one in protocols.DATASETS.items() if one.get("vat_radius", 0) is None}
    assert found == {"folder", "csv", "imagenet127"}
    text = flag_table.BY_NAME["vat_radius"].help
    assert "folder, csv and imagenet127: 6 x image_size / 32" in text


def test_help_says_that_a_ramp_is_of_each_generation():
    # tests/methods/test_in_step.py: the ramp follows the stage.
    assert "with CReST of those of each generation" in flag_table.BY_NAME["ramp_fraction"].help


def test_every_recipe_resolves_on_every_data_set_and_protocol():
    for dataset in (*protocols.DATASETS, "tfds:stl10"):
        for protocol in protocols.PROTOCOLS:
            for method, recipe in recipes.RECIPES.items():
                got = resolve(
                    *NEEDED.get(dataset, ()),
                    f"--dataset={dataset}",
                    f"--method={method}",
                    f"--protocol={protocol}",
                )
                for name in recipe.flags:
                    assert got[name] is not None, (dataset, method, name)


def test_every_declared_flag_exists():
    assert recipes.method_flags() <= set(flag_table.BY_NAME)


def test_refusal_is_one_line_code_2_and_comes_before_tensorflow():
    code = (
        "import sys\n"
        "from drw_tf import train\n"
        "try:\n    train.main(['train', '--beta=2'])\n"
        "finally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("train: --beta must be")


def test_help_names_every_flag_and_method(capsys):
    with pytest.raises(SystemExit):
        config.from_argv(["train", "--helpfull"])
    text = capsys.readouterr().out
    assert all(f"--{flag.name}:" in text for flag in flag_table.FLAGS)
    with pytest.raises(SystemExit):
        config.from_argv(["train", "--helpmethods"])
    text = capsys.readouterr().out
    assert all(f"{name}: " in text for name in recipes.RECIPES)


def test_a_path_below_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    given = config.parse(["train", "--workdir=~/runs/a", "--labeled_dir=~", "--data_dir=~x"])
    assert given["workdir"] == "/home/someone/runs/a"
    assert given["labeled_dir"] == "/home/someone"
    assert given["data_dir"] == "~x"


def test_a_run_does_not_become_a_class_of_the_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "all")
    words = ["train", "--dataset=folder", "--unlabeled_dir=.", "--labeled_dir=all/labeled"]
    words += ["--test_dir=test"]
    for workdir, place in {
        "all/labeled": "labeled_dir=all/labeled",
        "link/labeled/runs/1": "labeled_dir=all/labeled",
        f"{tmp_path}/test/run": "test_dir=test",
    }.items():
        with pytest.raises(SystemExit) as caught:
            config.from_argv([*words, f"--workdir={workdir}"])
        assert caught.value.code == 2
        line = capsys.readouterr().err
        assert line == f"train: --workdir must lie outside --{place}, got {workdir}.\n"
    for workdir in ("all/labeled_runs", "runs/1", "all"):
        assert config.from_argv([*words, f"--workdir={workdir}"]).workdir == workdir
