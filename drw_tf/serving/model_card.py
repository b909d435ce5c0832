"""MODEL_CARD.md: what a served model was trained on, how good it is, and its limits.

Every number is taken from the run's record or from the export itself.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence

from drw_tf.data import naming
from drw_tf.report import doubts, markdown, record_file, tables

# A class with fewer labeled pictures than this is named among the limits.
_FEW_LABELED = 10
_PERCENTAGES = (*record_file.FINAL_METRICS, "ece")


@dataclasses.dataclass(frozen=True)
class Served:
    """What the record does not know: how the network was exported.

    Attributes:
        image_shape: (H, W, Ch).
        adjusts: whether the method adjusts logits at test time.
        adjusted: whether that is in the exported logits.
        temperature: "value", "source" and "facts" of `run_export.Temperature`.
        central_fraction: side of the central square that is seen over the shorter side of an
            encoded picture, in (0, 1]; None for the whole picture.
    """

    image_shape: tuple[int, int, int]
    adjusts: bool
    adjusted: bool
    temperature: Mapping
    central_fraction: float | None


def text(record: Mapping, served: Served) -> str:
    """The card, in Markdown.

    Args:
        record: of `drw_tf.report.record.build_record`.
        served: how the network was exported.
    """
    parts = (
        _head(record, served),
        _data(record),
        _metrics(record, served),
        _calibration(served),
        _training(record),
        _limits(record, served),
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(record: Mapping, served: Served) -> list[str]:
    config, data = record["configuration"], record["dataset"]
    height, width, channels = served.image_shape
    kind = "grey" if channels == 1 else "RGB"
    cut = ""
    if served.central_fraction is not None:
        share = f"{100 * served.central_fraction:g} %"
        cut = f", of their central square with {share} of the shorter side; arrays must be so cut"
    return [
        f"# {config['method']} on {data['name']}, seed {config['seed']}",
        "",
        f"Classifies pictures into {len(data['class_names'])} classes. The network is "
        f"`{config['model']}`, its weights averaged over the training steps; it sees "
        f"{height} x {width} pixels, {kind}. Encoded pictures are brought to that size in the "
        f"graph{cut}. Class names and all flags of the run are in `assets/`.",
    ]


def _data(record: Mapping) -> list[str]:
    data = record["dataset"]
    held_out = data.get("validation_counts")  # missing in records of earlier versions
    parts = {
        "labeled": data["labeled_counts"],
        "unlabeled": data["unlabeled_counts"],
        "validation": held_out if held_out and any(held_out) else None,
        "test": data["test_counts"],
    }
    known = {name: counts for name, counts in parts.items() if counts is not None}
    lines = ["## Data", "", f"`{data['name']}`, split checksum `{data['split_checksum']}`."]
    if data["unlabeled_counts"] is None:
        # None in records of earlier versions.
        number = data.get("unlabeled_pictures")
        many = "" if number is None else f"{number:,} "
        lines.append(f"The classes of the {many}unlabeled pictures are not known.")
    if data["test_counts"] is None:
        lines.append("There were no test pictures.")
    rows = [
        [markdown.escaped(name), *(str(counts[index]) for counts in known.values())]
        for index, name in enumerate(data["class_names"])
    ]
    total = ["all", *(str(sum(counts)) for counts in known.values())]
    return [*lines, "", markdown.table(["class", *known], [*rows, total], aligned=True)]


def network_of(served: Served) -> str:
    """Name in the record of the metrics that hold for what is served."""
    return "ema_unadjusted" if served.adjusts and not served.adjusted else "ema"


def _evaluated(record: Mapping, served: Served) -> tuple[Mapping, str, int]:
    """The last metrics of what is served, "test" or "validation", and their step.

    Those of the validation pictures where there were no test pictures; no metrics if neither.
    """
    on_test = record["last_metrics"].get(network_of(served))
    part = "test" if on_test else "validation"
    for entry in reversed(record["history"]):
        found = on_test or entry.get(part, {}).get(network_of(served))
        if entry.get(part) and found:
            return found, part, entry["step"]
    return {}, "", 0


def _metrics(record: Mapping, served: Served) -> list[str]:
    found, part, step = _evaluated(record, served)
    if not found:
        return ["## Metrics", "", "None: nothing was evaluated."]
    after = f"{step}"
    if step != record["steps"]:  # a checkpoint from within an epoch
        after += f" (the network here is that of step {record['steps']}, which was not tested)"
    before = " before it was divided by the temperature" if _scales(served) else ""
    percent = {name: tables.percent(found[name]) for name in _PERCENTAGES}
    lines = [
        "## Metrics",
        "",
        f"On the {part} pictures after step {after}: balanced accuracy "
        f"{percent['balanced_accuracy']} %, accuracy {percent['accuracy']} %, "
        f"geometric mean of recalls {percent['geometric_mean']} %; Many / Medium / Few "
        f"{percent['many']} / {percent['medium']} / {percent['few']} %. "
        f"The network{before} has a loss of {_number(found['loss'])} nats and an expected "
        f"calibration error of {percent['ece']} %.",
    ]
    if "recall" not in found:  # a history has single numbers only of validation pictures
        return lines
    rows = [
        [markdown.escaped(name), tables.percent(recall), tables.percent(precision)]
        for name, recall, precision in zip(
            record["dataset"]["class_names"], found["recall"], found["precision"], strict=True
        )
    ]
    return [*lines, "", markdown.table(["class", "recall %", "precision %"], rows, aligned=True)]


def _calibration(served: Served) -> list[str]:
    lines = ["## What the logits are", ""]
    if served.adjusted:
        lines.append(
            "The method's test-time adjustment is subtracted (`logit_adjustment` in "
            "`assets/serving.json`)."
        )
    elif served.adjusts:
        lines.append(
            "The method adjusts logits at test time; this export leaves that out, and the "
            "metrics above are without it."
        )
    else:
        lines.append("The network's own.")
    value, facts = served.temperature["value"], served.temperature["facts"]
    if served.temperature["source"] == "given":
        lines.append(f"They are divided by the temperature {value:.4g}, which was given by hand.")
    elif facts:
        before, after = facts["before"], facts["after"]
        lines.append(
            f"They are divided by the temperature {value:.4g}, fitted on "
            f"{facts['validation_pictures']} validation pictures: there the loss went from "
            f"{_number(before['loss'])} to {_number(after['loss'])} nats and the expected "
            f"calibration error from {tables.percent(before['ece'])} to "
            f"{tables.percent(after['ece'])} %."
        )
    else:
        lines.append("No temperature was fitted: probabilities are not calibrated.")
    return lines


def _training(record: Mapping) -> list[str]:
    command, git, machine = record["command_line"], record["git"], record["machine"]
    versions = ", ".join(f"{name} {one}" for name, one in record["versions"].items() if one)
    where = "a machine that is not known"
    if machine:
        where = f"{machine['cpu']} ({machine['cores']} cores, {len(machine['gpus'])} GPUs)"
    commit = "not known"
    if git:
        commit = f"`{git['commit']}`" + (", with changes" if git["dirty"] else "")
    start, made_by = record.get("start"), record.get("made_by", ())
    began = []
    if start:
        began.append(
            f"It began with the averaged network of `{start['checkpoint']}`, whose pictures are "
            "not among the numbers above."
        )
    elif record["configuration"].get("init_weights") == "imagenet":
        began.append("It began with Keras's weights of ImageNet.")
    for part in made_by[:-1]:
        by = f"commit `{part['git']['commit']}`" if part["git"] else "a commit that is not known"
        if "replicas" in part:
            by += f", {naming.counted(part['replicas'], 'replica')}"
        began.append(f"From step {part['from_step']} on by {by}.")
    return [
        "## Training",
        "",
        "```",
        shlex.join(command) if command else "# not known: exported before the run was finished",
        "```",
        "",
        *began,
        f"{record['steps']} of {record['configuration']['steps']} steps, "
        f"{record['seconds'] / 60:.1f} minutes on {where}. Commit: {commit}. "
        f"{versions or 'Versions: not known'}.",
    ]


def _limits(record: Mapping, served: Served) -> list[str]:
    data = record["dataset"]
    names, counts = data["class_names"], data["labeled_counts"]
    lines = [
        "## Limits",
        "",
        f"- Every picture is given one of these {len(names)} classes, whatever it shows.",
        f"- Labeled classes differ in size by a factor of {max(counts) / max(min(counts), 1):.4g}; "
        "a deployment with other shares of classes will see other precisions.",
    ]
    few = [name for name, count in zip(names, counts, strict=True) if count < _FEW_LABELED]
    if few:
        lines.append(f"- Fewer than {_FEW_LABELED} labeled pictures: {_listed(few)}.")
    found, part, _ = _evaluated(record, served)
    if "recall" in found:
        pairs = [pair for pair in zip(found["recall"], names, strict=True) if pair[0] is not None]
        recall, name = min(pairs)
        lines.append(
            f"- Lowest recall: {tables.percent(recall)} %, class {markdown.escaped(name)}."
        )
    if found:
        tested = data.get(f"{part}_counts")  # those for validation are younger than the metrics
        if tested:
            fewest, most = min(tested), max(tested)
            shown = str(most) if fewest == most else f"{fewest} to {most}"
            lines.append(f"- {part.capitalize()} pictures a class: {shown}.")
    else:
        lines.append("- Nothing is known of its errors: it was not tested.")
    config = record["configuration"]
    if not served.adjusted:
        config = {**config, "la_prior": None}
    for line in doubts.lines(config, record["history"], names):
        lines.append(f"- {markdown.escaped(line[0].upper() + line[1:])}.")
    lines.append("- One run of one seed.")
    return lines


def _scales(served: Served) -> bool:
    return served.temperature["value"] != 1.0


def _listed(names: Sequence[str]) -> str:
    return naming.some([*map(markdown.escaped, names)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
