"""Every flag: its name, type, help, range, and who reads it.

A default of None means that the protocol, the data set or the recipe decides;
`protocols` holds those values.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Callable

from drw_tf import places

# Presets of augmentation whose crops are padded with black; those of the others reflect.
BLACK_PADDING = ("darp_cifar10", "darp_cifar100")


# Values of `--crop` for crops of random place and scale.
RESIZED = ("resized", "resized_once")


def pads_black(preset: str | None, crop: str | None) -> bool:
    """Whether crops are padded with black: all that weak views read of a preset.

    Args:
        preset: value of `--randaugment`.
        crop: that of `--crop`; a resized one is not padded.
    """
    return preset in BLACK_PADDING and crop not in RESIZED


@dataclasses.dataclass(frozen=True)
class Flag:
    """One command-line flag.

    Attributes:
        name: as typed after the two dashes.
        kind: "int", "float", "bool", "string" or "list" (comma-separated).
        help: one sentence with unit and range.
        group: heading under which `--help` shows it.
        default: value where neither user, recipe, data set nor protocol gives one.
        allowed: what a value must be, in words, for the refusal.
        check: whether a value of the right type is allowed.
        changes_result: whether a run with another value is another run.
    """

    name: str
    kind: str
    help: str
    group: str
    default: object = None
    allowed: str = "anything"
    check: Callable[[object], bool] = lambda value: True
    changes_result: bool = True


def listed(name, text, group, default=None, **kwargs) -> Flag:
    """A flag of values with commas between them, at least one where it is typed."""
    return Flag(
        name,
        "list",
        f"{text}, comma-separated",
        group,
        default,
        allowed="at least one value, with commas between several",
        check=lambda value: bool(value) and all(value),
        **kwargs,
    )


def place(name, text, group, kind="folder", **kwargs) -> Flag:
    """A flag that names a folder or another `kind` of place; typed empty it is refused."""
    return Flag(name, "string", text, group, allowed=f"the name of a {kind}", check=bool, **kwargs)


def _choice(name, choices, text, group, **kwargs) -> Flag:
    allowed = "one of " + ", ".join(choices)
    return Flag(
        name,
        "string",
        f"{text} ({' | '.join(choices)})",
        group,
        allowed=allowed,
        check=lambda value: value in choices,
        **kwargs,
    )


def _is_service(value: str) -> bool:
    scheme, separator, place = str(value).partition("://")
    host, _, port = place.rpartition(":")
    return scheme == "grpc" and bool(separator and host) and port.isdecimal() and int(port) < 65536


# Beyond any use, and far below where 64 bits end.
_LARGEST = {"int": 10**9, "float": math.inf}
_WORDS = {"int": "a whole number", "float": "a number"}


def _plain(value: float) -> str:
    """A bound in digits, large ones too."""
    if value == math.inf:
        return "infinity"
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def _number(name, kind, text, group, low, high=None, *, closed=True, **kwargs) -> Flag:
    """A number in [low, high], or in [low, high) where `closed` is false."""
    high = _LARGEST[kind] if high is None else high
    bracket = "]" if closed and high != math.inf else ")"

    def check(value):
        return low <= value and (value <= high if closed else value < high) and value != math.inf

    return Flag(
        name,
        kind,
        text,
        group,
        allowed=f"{_WORDS[kind]} in [{_plain(low)}, {_plain(high)}{bracket}",
        check=check,
        **kwargs,
    )


def _is_beta(value: str) -> bool:
    if value in ("auto", "auto_mean", "literal"):
        return True
    try:
        return 0.0 <= float(value) < 1.0
    except ValueError:
        return False


def spelled_beta(value: str | float | None) -> str | None:
    """A value of `--beta` as it is recorded: .9 and 0.90 are the same number, 0.9.

    What is no number comes back as it is: words, and None where no beta is read.
    """
    try:
        return repr(abs(float(value)))  # -0 is allowed, too
    except (TypeError, ValueError):
        return value


def is_application(model: str) -> bool:
    """Whether a network is one of `keras.applications`."""
    return model.startswith(APPLICATIONS)


def _is_model(value: str) -> bool:
    depth = re.fullmatch(r"wide_resnet_([1-9]\d{0,3})_[1-9]\d{0,2}", value)
    if depth:
        return int(depth[1]) >= 10 and int(depth[1]) % 6 == 4
    return value in _MODELS or bool(re.fullmatch(rf"{APPLICATIONS}[A-Za-z]\w*", value))


def _is_temperature(value: str) -> bool:
    if value in ("none", "fit"):
        return True
    try:
        return 0.05 <= float(value) <= 20.0
    except ValueError:
        return False


# What names of networks of `keras.applications` begin with.
APPLICATIONS = "applications/"
_MODELS = ("resnet50", "resnet50_small_images", "small_resnet")

RUN = "run"
DATA = "data"
NETWORK = "network"
OPTIMIZATION = "optimization"
METHOD = "method (each one reads some of these: drw_tf.train --helpmethods)"
RUNTIME = "checkpoints, logs and machine"

FLAGS = (
    Flag("dataset", "string", "data set", RUN, default="digits"),
    Flag("method", "string", "method; drw_tf.train --helpmethods lists them", RUN, default="drw"),
    Flag(
        "protocol",
        "string",
        "set of training defaults (darp | modern | imagenet | small_budget)",
        RUN,
    ),
    _number(
        "seed",
        "int",
        "seed of split, weights and batches, whole number >= 0",
        RUN,
        0,
        10**18,
        default=0,
    ),
    place(
        "workdir",
        "folder of the run [runs/<dataset>/<method>/seed<seed>]",
        RUN,
        changes_result=False,
    ),
    Flag(
        "fresh",
        "bool",
        "start over: move an earlier run in the workdir aside",
        RUN,
        default=False,
        changes_result=False,
    ),
    # ---- data
    Flag(
        "data_dir",
        "string",
        "where prepared data lie [TensorFlow Datasets' own folder]",
        DATA,
        changes_result=False,
    ),
    Flag(
        "labeled_dir",
        "string",
        "own pictures: folder with a sub-folder for each class",
        DATA,
        changes_result=False,
    ),
    Flag(
        "unlabeled_dir",
        "string",
        "own pictures: folder of pictures without labels, at any depth",
        DATA,
        changes_result=False,
    ),
    Flag(
        "validation_dir",
        "string",
        "own pictures: folder with a sub-folder for each class, to choose hyper-parameters by",
        DATA,
        changes_result=False,
    ),
    Flag(
        "test_dir",
        "string",
        "own pictures: folder with a sub-folder for each class, to test on",
        DATA,
        changes_result=False,
    ),
    Flag(
        "labels_csv",
        "string",
        "own pictures: table with columns path, label (empty: unlabeled), split (train | "
        "validation | test)",
        DATA,
        changes_result=False,
    ),
    Flag(
        "allow_outside_paths",
        "bool",
        "let paths in --labels_csv lead out of its folder, by links too",
        DATA,
        default=False,
        changes_result=False,
    ),
    Flag(
        "flip",
        "bool",
        "whether a mirrored picture is still of its class",
        DATA,
        default=True,
    ),
    _choice(
        "crop",
        ("shift", *RESIZED),
        "random crops: shifted by up to an eighth, or of random place and scale; resized_once: "
        "strong views have crop and flip of the weak one [shift below 96 pixels; from there on "
        "resized, protocol imagenet: resized_once]",
        DATA,
    ),
    _choice(
        "on_bad_image", ("fail", "skip"), "what to do with unreadable files", DATA, default="fail"
    ),
    Flag(
        "decode_all",
        "bool",
        "decode every picture file at the start, which finds damage behind a header",
        DATA,
        default=False,
        changes_result=False,
    ),
    _number(
        "max_megapixels",
        "float",
        "files that claim more million pixels are unreadable, > 0",
        DATA,
        1e-6,
        default=100.0,
    ),
    _number(
        "in_memory_gigabytes",
        "float",
        "own pictures with shifted crops are decoded once if they fit in this much memory, >= 0",
        DATA,
        0,
        default=4.0,
        changes_result=False,
    ),
    _number(
        "labeled_fraction",
        "float",
        "fraction of each class labeled, at least one picture",
        DATA,
        1e-9,
        1,
    ),
    Flag(
        "val_labels",
        "string",
        "imagenet127: file with the classes of a flat val folder",
        DATA,
        changes_result=False,
    ),
    Flag(
        "cache_dir",
        "string",
        "folder that pictures of large data sets are extracted to, once",
        DATA,
        changes_result=False,
    ),
    Flag(
        "download",
        "bool",
        "fetch the data set with TensorFlow Datasets where it is not prepared yet",
        DATA,
        default=False,
        changes_result=False,
    ),
    _number("labeled_max", "int", "N1, labeled pictures of the largest class, >= 1", DATA, 1),
    _number("unlabeled_max", "int", "M1, unlabeled pictures of the largest class, >= 1", DATA, 1),
    _number("imbalance_ratio", "float", "R, labeled N1 / NC, >= 1", DATA, 1),
    _number(
        "unlabeled_imbalance_ratio",
        "float",
        "R of the unlabeled pictures, >= 1 [R labeled; 1 if they are uniform]",
        DATA,
        1,
    ),
    _choice(
        "unlabeled_order",
        ("same", "reversed", "uniform"),
        "long tail of the unlabeled pictures, against the labeled one",
        DATA,
        default="same",
    ),
    _number(
        "validation_per_class",
        "int",
        "training pictures a class held out for choosing hyper-parameters, >= 0",
        DATA,
        0,
        default=0,
    ),
    _choice(
        "pool",
        ("all", "unlabeled"),
        "pictures in the unlabeled stream: labeled and unlabeled ones, or unlabeled alone",
        DATA,
        default="all",
    ),
    _number("image_size", "int", "pixels a side [the data set's own]", DATA, 4, 1024),
    # ---- network
    Flag(
        "model",
        "string",
        "network: wide_resnet_<depth>_<width>, resnet50, resnet50_small_images, small_resnet, "
        "applications/<name in keras.applications> [by data set]",
        NETWORK,
        allowed="wide_resnet_<depth>_<width> with a depth of 6 n + 4 (10, 16, 22, 28, ...), "
        + ", ".join(_MODELS)
        + " or applications/<name in keras.applications>",
        check=_is_model,
    ),
    Flag(
        "init_weights",
        "string",
        "pretrained start: none, imagenet (applications only), a weights file or the folder of an "
        "earlier run, of which the averaged network is taken",
        NETWORK,
        default="none",
        allowed="none, imagenet, a file that ends in .h5 or .keras, or the folder of a run",
        # A folder's name may have a number after a dot, and a file of another kind has none.
        check=lambda value: (
            value != ""
            and (
                not places.is_run(value)
                or not re.fullmatch(r"\.[A-Za-z]\w*", pathlib.PurePath(value).suffix)
            )
        ),
    ),
    _number(
        "batch_norm_momentum",
        "float",
        "share of the old batch statistics kept each step, [0, 1) [applications/...: their own]",
        NETWORK,
        0,
        1,
        closed=False,
    ),
    _number(
        "batch_norm_epsilon",
        "float",
        "added to the batch variance [applications/...: their own]",
        NETWORK,
        1e-8,
        1,
    ),
    Flag(
        "sync_batch_norm",
        "bool",
        "batch statistics over all replicas instead of each for itself",
        NETWORK,
        default=False,
    ),
    # ---- optimization
    _number(
        "batch_size", "int", "B, labeled pictures a step over all replicas, >= 1", OPTIMIZATION, 1
    ),
    _number("steps", "int", "length of training in steps, >= 1", OPTIMIZATION, 1),
    _number(
        "stop_at_step",
        "int",
        "step to end at before the --steps that schedules are made for, a multiple of "
        "--steps_per_epoch; the same command with a later one goes on [--steps]",
        OPTIMIZATION,
        1,
        changes_result=False,
    ),
    _number(
        "steps_per_epoch",
        "int",
        "steps between two evaluations, which is also the period of the pseudo-label histogram",
        OPTIMIZATION,
        1,
    ),
    _choice("optimizer", ("sgd", "adam"), "sgd is Nesterov with momentum .9", OPTIMIZATION),
    _number("learning_rate", "float", "peak learning rate, > 0", OPTIMIZATION, 1e-12, 1e3),
    _choice(
        "schedule",
        ("constant", "cosine_7_16", "cosine_1_16", "cosine", "step", "step_sixths", "step_ldam"),
        "learning rate over steps: cosine falls to 0, cosine_7_16 to .195 and cosine_1_16 to .981 "
        "of the peak; step is times .1 and step_ldam times .01 at 80 and at 90 % of the steps, "
        "step_sixths times .1 at each sixth",
        OPTIMIZATION,
    ),
    _number("warmup_steps", "int", "steps of linear warm-up, >= 0", OPTIMIZATION, 0),
    _choice(
        "weight_decay_kind",
        ("l2", "decoupled"),
        "l2: gradient of kernels; decoupled: every weight and batch statistic shrinks by "
        "learning rate x weight_decay a step",
        OPTIMIZATION,
    ),
    _number("weight_decay", "float", "strength of weight decay, >= 0", OPTIMIZATION, 0, 10),
    _number(
        "ema_decay",
        "float",
        "share of the old average kept each step, [0, 1)",
        OPTIMIZATION,
        0,
        1,
        closed=False,
    ),
    Flag(
        "ema_warmup",
        "bool",
        "begin the average with a decay of min(ema_decay, (1 + step) / (10 + step))",
        OPTIMIZATION,
    ),
    # ---- method
    _number("unlabeled_ratio", "int", "mu, unlabeled pictures a step / B, >= 1", METHOD, 1, 64),
    _number("lambda_u", "float", "weight of the unlabeled loss, >= 0", METHOD, 0, 1e6),
    _choice(
        "randaugment",
        (*BLACK_PADDING, "fixmatch", "usb", "digits"),
        "preset of the augmentation: what crops are padded with, and the strong views",
        METHOD,
    ),
    _choice(
        "randaugment_order",
        ("composed", "drawn"),
        "geometry of all operations at once and then colour, which is faster; or as drawn",
        METHOD,
        default="composed",
    ),
    _number("threshold", "float", "tau, least confidence of a pseudo-label, [0, 1]", METHOD, 0, 1),
    _choice(
        "forward",
        ("joint", "separate"),
        "all views in one forward pass; or weak ones alone, and mixed pictures interleaved",
        METHOD,
    ),
    _number("strong_views", "int", "strong views of each unlabeled picture", METHOD, 1, 2),
    _choice(
        "pseudo_count",
        ("all", "confident", "unrefined"),
        "which pseudo-labels are counted; unrefined: all, as the network has them before DARP, "
        "CDMAD or CReST+ changes them",
        METHOD,
        default="all",
    ),
    _choice(
        "pseudo_memory",
        ("epoch", "bank"),
        "count every pseudo-label of the epoch, or the latest one of each picture",
        METHOD,
        default="epoch",
    ),
    Flag(
        "beta",
        "string",
        "effective number: a number in [0, 1); auto (.999 where the largest class has at most 50 "
        "times the labeled pictures of the smallest, .995 above); auto_mean (1 - 1 / mean count); "
        "literal (1 - 1 / count, each class its own); if not typed .999 on the imagenet127 sets",
        METHOD,
        default="auto",
        allowed="a number in [0, 1), auto, auto_mean or literal",
        check=_is_beta,
    ),
    _choice(
        "weight_normalization",
        ("class", "sample", "none"),
        "weights sum to C; or average 1 over pictures; or raw",
        METHOD,
        default="class",
    ),
    Flag(
        "max_weight_ratio",
        "float",
        "largest class weight over the smallest at most, bounded before weights are normalised, "
        ">= 1: what a class without pseudo-labels can take from the others; 0: not bounded",
        METHOD,
        default=0.0,
        allowed="0 or a number in [1, infinity)",
        check=lambda value: value == 0 or 1 <= value < math.inf,
    ),
    _number(
        "pseudo_smoothing",
        "float",
        "share of the earlier epochs in the pseudo numbers that dynamic weights come from, an "
        "exponential mean, [0, 1); 0: the last epoch alone",
        METHOD,
        0,
        1,
        closed=False,
        default=0.0,
    ),
    _number(
        "reweight_start",
        "float",
        "fraction of all steps before the unlabeled loss is weighted, [0, 1) [by data set; fixed "
        "weights: 0]",
        METHOD,
        0,
        1,
        closed=False,
    ),
    _choice(
        "unlabeled_prior",
        ("labeled", "true"),
        "classes that DARP, ReMixMatch's alignment and fixed unlabeled weights expect in the pool: "
        "as many as of the labeled pictures, or the true ones, which only benchmarks know",
        METHOD,
        default="labeled",
    ),
    _choice(
        "la_prior",
        ("labeled", "effective", "pseudo"),
        "prior of logit adjustment: labeled counts, these x weights of the labeled loss, or pseudo "
        "numbers",
        METHOD,
        default="labeled",
    ),
    _choice(
        "ramp",
        ("linear", "sigmoid"),
        "how the weight of the unlabeled loss rises: linear from 0, sigmoid from .0067 of it",
        METHOD,
        default="linear",
    ),
    _number(
        "ramp_fraction",
        "float",
        "fraction of the steps, with CReST of those of each generation, over which that weight "
        "rises, [0, 1]",
        METHOD,
        0,
        1,
        default=1.0,
    ),
    _number(
        "vat_radius",
        "float",
        "VAT: eps, L2 norm of the change of a picture of pixels in [-1, 1], >= 0 [folder, csv and "
        "imagenet127: 6 x image_size / 32; others: by data set, for its own size: with another "
        "--image_size, and for tfds:<name>, type 6 x the square root of (values of a picture / "
        "3072)]",
        METHOD,
        0,
        1e4,
        default=6.0,
    ),
    _number(
        "vat_difference",
        "float",
        "VAT: xi, L2 norm of the step of the finite difference, same unit, > 0; for it a GPU "
        "computes without TensorFloat-32",
        METHOD,
        1e-6,
        1e2,
        default=1e-2,
    ),
    _number("vat_iterations", "int", "VAT: power iterations, >= 1", METHOD, 1, 100, default=1),
    _number(
        "mixup_alpha",
        "float",
        "parameter of mixup's Beta distribution, >= 0; 0: nothing is mixed",
        METHOD,
        0,
        1e3,
        default=0.75,
    ),
    _number(
        "temperature",
        "float",
        "T, sharpening of soft pseudo-labels, > 0; 1: none",
        METHOD,
        1e-3,
        1e2,
        default=0.5,
    ),
    Flag(
        "align_distribution",
        "bool",
        "scale pseudo-labels by labeled counts / recent mean prediction",
        METHOD,
        default=True,
    ),
    _number(
        "strong_weight",
        "float",
        "ReMixMatch: weight of the loss of a strong view before mixup, >= 0",
        METHOD,
        0,
        1e3,
        default=0.5,
    ),
    _number(
        "rotation_weight",
        "float",
        "ReMixMatch: weight of the loss of guessing rotations, >= 0",
        METHOD,
        0,
        1e3,
        default=0.5,
    ),
    _number("la_strength", "float", "tau of logit adjustment, >= 0", METHOD, 0, 10, default=1.0),
    _number(
        "ldam_margin",
        "float",
        "LDAM: largest margin, in cosines, [0, 2]",
        METHOD,
        0,
        2,
        default=0.5,
    ),
    _number(
        "ldam_scale",
        "float",
        "LDAM: factor of the cosines, >= 1",
        METHOD,
        1,
        1e3,
        default=30.0,
    ),
    _number(
        "deferred_start",
        "float",
        "LDAM: fraction of all steps before the labeled loss is weighted, [0, 1]",
        METHOD,
        0,
        1,
        default=0.8,
    ),
    _number(
        "deferred_beta",
        "float",
        "LDAM: beta of the effective number in those weights, [0, 1)",
        METHOD,
        0,
        1,
        closed=False,
        default=0.9999,
    ),
    _choice(
        "crt_balance",
        ("sampling", "reweight"),
        "cRT: what balances the new head's classes: batches with each equally often, or weights",
        METHOD,
        default="sampling",
    ),
    _number(
        "crt_head_fraction",
        "float",
        "cRT: fraction of all steps for the new head; at least an epoch for each part, [0, 1)",
        METHOD,
        0,
        1,
        closed=False,
        default=0.04,
    ),
    _number(
        "crt_learning_rate",
        "float",
        "cRT: peak learning rate of the new head, > 0",
        METHOD,
        1e-6,
        1e3,
        default=0.1,
    ),
    _number(
        "crest_generations",
        "int",
        "CReST: generations that share the steps, in whole epochs, >= 2",
        METHOD,
        2,
        100,
        default=6,
    ),
    _number(
        "crest_alpha",
        "float",
        "CReST: a class gives its share of pseudo-labels to the power 1 / alpha, > 0",
        METHOD,
        1e-3,
        1e3,
        default=3.0,
    ),
    _number(
        "crest_alignment_min",
        "float",
        "CReST+: exponent of the prior in the last generation, 1 in the first one, [0, 1]",
        METHOD,
        0,
        1,
        default=0.5,
    ),
    _number(
        "darp_start",
        "float",
        "DARP: fraction of the steps, of each stage if there are several, before pseudo-labels "
        "are refined, [0, 1)",
        METHOD,
        0,
        1,
        closed=False,
        default=0.4,
    ),
    _number(
        "darp_refresh",
        "int",
        "DARP: steps between two refinements of the pool, >= 1; 100 if not typed on cifar100, "
        "tfds:stl10 and the imagenet127 sets",
        METHOD,
        1,
        default=10,
    ),
    _number(
        "darp_alpha",
        "float",
        "DARP: pictures that may keep a class, as a multiple of how many it should have, > 0",
        METHOD,
        1e-3,
        1e6,
        default=2.0,
    ),
    _number(
        "focal_gamma", "float", "focal loss: exponent of 1 - p, >= 0", METHOD, 0, 100, default=2.0
    ),
    _choice(
        "focal_apply",
        ("labeled", "both"),
        "focal loss in place of the labeled cross-entropy, or also of the unlabeled one",
        METHOD,
        default="both",
    ),
    _number(
        "cdmad_start",
        "float",
        "CDMAD: fraction of the steps, of each stage if there are several, before pseudo-labels "
        "are debiased, [0, 1]",
        METHOD,
        0,
        1,
        default=0.2,
    ),
    _number(
        "cdmad_color",
        "float",
        "CDMAD: value of all pixels of the solid picture, 1 is white, [0, 1]",
        METHOD,
        0,
        1,
        default=1.0,
    ),
    # ---- runtime
    _number(
        "checkpoint_steps",
        "int",
        "steps between two checkpoints, which is the most that a kill loses, >= 1 [500; protocol "
        "imagenet: 1000; own pictures: 250]",
        RUNTIME,
        1,
        changes_result=False,
    ),
    _number(
        "keep_checkpoints",
        "int",
        "newest checkpoints kept, >= 1; the best by test score is kept beside them",
        RUNTIME,
        1,
        default=3,
        changes_result=False,
    ),
    _number(
        "eval_batch_size",
        "int",
        "pictures a batch of evaluation on each device, >= 1 "
        "[500, fewer where --image_size is above 96]",
        RUNTIME,
        1,
        changes_result=False,
    ),
    _choice(
        "on_nonfinite",
        ("stop", "skip"),
        "what to do in a step whose loss or gradient is not finite; it is never applied",
        RUNTIME,
        default="stop",
        changes_result=False,
    ),
    _number(
        "max_skipped_steps",
        "int",
        "steps that --on_nonfinite=skip may skip before it gives up, >= 0",
        RUNTIME,
        0,
        default=100,
        changes_result=False,
    ),
    _choice(
        "strategy",
        ("mirrored", "multi_worker", "one_device"),
        "all GPUs of this machine (or its CPU), those of several processes, or one device",
        RUNTIME,
        default="mirrored",
    ),
    _choice(
        "precision",
        ("float32", "bfloat16", "float16"),
        "numbers that the network computes in (float16: on a GPU; a CPU is far slower with it); "
        "weights, logits and losses are float32 always",
        RUNTIME,
        default="float32",
    ),
    _choice(
        "jit_compile",
        ("auto", "on", "off"),
        "compile the step with XLA, which draws other random numbers for VAT and ABC; auto: on one "
        "GPU alone without --deterministic, as a CPU is slower with it and several GPUs cannot",
        RUNTIME,
        default="auto",
        changes_result=False,
    ),
    listed(
        "cluster_hosts",
        "multi_worker in a Kubernetes Indexed Job: host:port of every worker",
        RUNTIME,
        changes_result=False,
    ),
    _number(
        "cluster_port",
        "int",
        "multi_worker under Slurm: first port on each host, one more for each further task there",
        RUNTIME,
        1024,
        65535,
        default=8888,
        changes_result=False,
    ),
    _number(
        "cluster_timeout",
        "int",
        "multi_worker: seconds that a worker waits at its start until all have come, >= 1",
        RUNTIME,
        1,
        default=600,
        changes_result=False,
    ),
    Flag(
        "data_service",
        "string",
        "grpc://host:port of a tf.data service (scripts/data_service.py) that makes the batches, "
        "in any order",
        RUNTIME,
        allowed="grpc://host:port",
        check=_is_service,
        changes_result=False,
    ),
    _number(
        "steps_per_execution",
        "int",
        "steps in one call of the compiled graph, must divide steps_per_epoch and checkpoint_steps "
        "[10, fewer where needed; protocol imagenet: 1]",
        RUNTIME,
        1,
        changes_result=False,
    ),
    Flag(
        "deterministic",
        "bool",
        "bit-for-bit equal runs, slower",
        RUNTIME,
        default=False,
    ),
    Flag(
        "tensorboard",
        "bool",
        "write TensorBoard logs",
        RUNTIME,
        default=True,
        changes_result=False,
    ),
    Flag(
        "export",
        "bool",
        "write the SavedModel when training ends",
        RUNTIME,
        default=True,
        changes_result=False,
    ),
    Flag(
        "export_logit_adjustment",
        "bool",
        "subtract in the exported model what the method subtracts from logits at test time",
        RUNTIME,
        default=False,
        changes_result=False,
    ),
    Flag(
        "export_temperature",
        "string",
        "divide the exported logits by this number, [0.05, 20], or by one fitted on the "
        "validation pictures (none | fit | number)",
        RUNTIME,
        default="none",
        allowed="none, fit or a number in [0.05, 20]",
        check=_is_temperature,
        changes_result=False,
    ),
)

BY_NAME = {flag.name: flag for flag in FLAGS}
