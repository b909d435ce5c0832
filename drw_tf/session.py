"""Training as a command does it: claims the folder, goes on where it was, writes the record."""

import json
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import contradictions, faults, flag_table, run_folder
from drw_tf import run as runs
from drw_tf.data import identity, naming, pipeline, registry
from drw_tf.report import doubts, environment, groups, record, record_file, split_report
from drw_tf.serving import folders, run_export, saved_model
from drw_tf.training import checkpoint, cluster, devices, loop, rendezvous, workdir

_LOG = logging.getLogger("drw_tf")
Stopped = loop.Stopped
PeerLost = cluster.PeerLost
NotAllCame = rendezvous.NotAllCame
_GO_ON = (
    "the same command goes on from the last checkpoint; or with --fresh --decode_all "
    "--on_bad_image=skip a new run leaves out what cannot be decoded"
)


def train(
    config: configuration.Config, command: list[str], begun: Callable[[], None] = lambda: None
) -> dict | None:
    """Trains to the end, from the newest checkpoint if there is one; returns the record.

    Args:
        config: the run's flags.
        command: what was typed, for the record.
        begun: called when what `--fresh` moves aside is moved, and nothing stands in the way.

    Returns:
        The record; None on workers that are not the chief.
    """
    if config.strategy != "multi_worker":
        return _train(config, command, devices.strategy(config.strategy), begun)
    workers = cluster.resolver(os.environ, config.cluster_hosts, config.cluster_port)
    folder = workdir.Layout(config.workdir)
    # A worker that is started again after the end would wait for those that are done.
    if not config.fresh and not _other_flags(config, folder) and _is_done(config, folder):
        return record_file.read_record(folder.record) if cluster.rank(workers) == 0 else None
    # Before anything else: TensorFlow forms no cluster once an operation has run.
    strategy = cluster.join(workers, config.cluster_timeout)
    return cluster.watched(lambda: _train(config, command, strategy, begun))


def _train(config, command, strategy, begun) -> dict | None:
    team = cluster.Team(strategy)
    team.require_same(config.to_json(), "flags")
    folder = workdir.Layout(config.workdir)

    def claim():
        nonlocal folder
        # A chief's machine that died leaves its lock to the shared folder's server for a while.
        wait = config.cluster_timeout if config.strategy == "multi_worker" else 0
        folder = workdir.Workdir(config.workdir, wait)
        # Before anybody asks whether there are checkpoints; one that is moved aside is whole, too.
        checkpoint.of_folder(folder.checkpoints).restore_replaced()
        if config.fresh:
            return False
        _agree_with_earlier(config, folder)
        is_done = _is_done(config, folder)
        if is_done:
            folder.write_config(config.to_json())
        return is_done

    try:
        if not team.from_chief(claim):
            _train_on(config, command, folder, team, begun)
        result = record_file.read_record(folder.record) if team.is_chief else None
        # The chief writes on when the others are done, who wait: leaving looks like a failure.
        team.total(0)
        return result
    finally:
        folder.release()


def _train_on(config, command, folder: workdir.Layout, team, begun) -> None:
    # Now: a checkout may move on while a run goes on with what it has read.
    replicas = team.strategy.num_replicas_in_sync
    code = {**environment.code(), "replicas": replicas}
    data = registry.load(config, find_copies=team.is_chief)
    goes_on = not config.fresh and folder.has_checkpoints
    run = runs.Run(config, team, data, run_folder.data_of(folder.path) if goes_on else {})
    facts_now = run.facts()
    team.require_same(json.dumps(facts_now, indent=1), "data")
    if config.export:
        run_export.refuse(run)
        if not config.fresh:  # which moves it away
            folders.refuse_others(folder.export)
    # In the loop what the step cannot do would look like a fault of the code.
    streams = run.stages.streams(0)
    pipeline.check_streams(streams, pipeline.Shard(replicas=replicas))
    compiled = devices.compiles(
        config.jit_compile, team.strategy, run.method.compilable, config.deterministic
    )
    if config.fresh:  # now that nothing stands in the way of the new run
        team.from_chief(lambda: _start_over(config, folder))
    begun()
    team.from_chief(lambda: _agree_on_data(facts_now, folder))
    if team.is_chief:
        batches = [stream.batch for stream in streams]
        _LOG.info(split_report.line(run.dataset, run.split))
        if run.start and not goes_on:
            _LOG.info(run.start.line)
        _LOG.info(devices.line(team.strategy, team.workers, batches, config.precision, compiled))
        for doubt in (
            *contradictions.doubts(config),
            *devices.doubts(team.strategy, run.method.network, run.method.is_interleaved),
        ):
            _LOG.warning(doubt)
    judges = run.judges()
    plan = loop.Plan(
        config.stop_at_step,
        config.steps_per_epoch,
        config.checkpoint_steps,
        run.stages.images_read,
        config.max_skipped_steps if config.on_nonfinite == "skip" else 0,
    )
    log = None
    if config.tensorboard and team.is_chief:
        from drw_tf import run_log  # takes a second, which whoever logs nothing need not wait

        log = run_log.RunLog(run, folder.tensorboard)

    def write(entry):
        folder.require_held()  # else a folder that was moved looks like a full disk
        log.write(entry)

    def begin(step, logged):
        run.stages.require_weights(step, config.stop_at_step)
        if team.is_chief:
            # Not before: what reads the run must not meet flags that were refused.
            folder.write_config(config.to_json())
            if step < config.stop_at_step:
                makers = _makers(folder, step, code)
                _tell_of_other_replicas(makers, step, config)
                folder.write_makers(json.dumps(makers, indent=1))
        if log:
            log.start(logged)

    def has_trained():
        steps = run.method.stage_start + int(run.method.optimizer.iterations.numpy())
        return steps > 0 or folder.has_checkpoints

    with (
        faults.naming_fault("a training step"),
        faults.naming_memory(config, "batch_size"),
        faults.naming_damage(run.dataset, _GO_ON),
        faults.naming_service(config.data_service, has_trained),
    ):
        history = loop.run(
            run.method,
            run.stages.all,
            run.stages.prepare,
            run.stages.begin,
            run.batches,
            lambda between: run.evaluations(judges, between),
            checkpoint.Checkpoints(
                folder.checkpoints, run.method, config.keep_checkpoints, team, folder.require_held
            ),
            plan,
            [write] if log else [],
            begin,
            team,
        )
    network = run.averaged_network()
    if not team.is_chief:
        return
    folder.require_held()
    makers = run_folder.makers_of(folder.path)
    result = record.build_record(
        command_line=command,
        configuration=config,
        dataset=identity.recorded(run.dataset, run.split),
        history=history,
        steps=history[-1]["step"],
        seconds=history[-1]["seconds"],
        images_per_second=plan.images_read(history[-1]["step"]) / history[-1]["seconds"],
        makers=makers,
        start=run.start and run.start.facts(),
    )
    # Those that trained: a finished run may be exported anew on another machine.
    trained = [part["replicas"] for part in makers[-1:] if "replicas" in part]
    result["machine"] |= {"workers": team.workers, "replicas": (trained or [replicas])[0]}
    if config.export:
        # What was measured is kept where an export fails, as that of a run without one.
        without = {**result, "configuration": {**result["configuration"], "export": False}}
        record_file.write_record(folder.record, without)
        with faults.naming_fault("the export"), faults.naming_damage(run.dataset, _GO_ON):
            run_export.export_run(run, folder.export, result, network)
    folder.require_held()  # an export takes its time
    if log:
        log.finish(result)
    record_file.write_record(folder.record, result)


def _makers(folder: workdir.Workdir, step: int, code: dict) -> list[dict]:
    """Code and number of replicas of each part of the run, now that these go on from `step`."""
    earlier = [one for one in run_folder.makers_of(folder.path) if one["from_step"] < step]
    # Older runs do not say how many replicas they had.
    if not earlier or any(earlier[-1].get(name, value) != value for name, value in code.items()):
        earlier.append({"from_step": step, **code})
    return earlier


def _tell_of_other_replicas(
    makers: Sequence[Mapping], step: int, config: configuration.Config
) -> None:
    """Warns where the part that begins at `step` has another number than the one before."""
    if len(makers) < 2 or makers[-1]["from_step"] != step:
        return
    before, now = (part.get("replicas") for part in makers[-2:])
    if before not in (None, now):
        differs = "by rounding" if config.sync_batch_norm else "as batch statistics do"
        _LOG.warning(
            "the run had %s and goes on with %s: its result differs from one of either number %s.",
            naming.counted(before, "replica"),
            naming.counted(now, "replica"),
            differs,
        )


def _is_done(config: configuration.Config, folder: workdir.Layout) -> bool:
    """Whether this run is finished; one of other pictures is refused."""
    finished = _is_finished(config, folder)
    if finished and groups.is_of_own_pictures(config):
        # Every project's pictures have the same default workdir.
        now = identity.facts(*registry.load(config, at_once=False))
        run_folder.require_same_data(now, folder.path)
    return finished


def _is_finished(config: configuration.Config, folder: workdir.Layout) -> bool:
    """Whether nothing is left to do; the record is the last thing that a run writes."""
    if not folder.record.exists():
        return False
    written = record_file.read_record(folder.record)
    if written["steps"] < config.stop_at_step:
        return False
    if not config.export:
        return True
    flags = {**written["configuration"], **_flags_of_export(folder.export)}
    same = all(
        flags.get(name, flag_table.BY_NAME[name].default) == config[name]
        for name in contradictions.EXPORT_FLAGS
    )
    # One that went on without an export may have an older one.
    is_newest = written["configuration"].get("export", True)
    return is_newest and folder.export.exists() and same


def _flags_of_export(folder: pathlib.Path) -> dict:
    """What an export was made with, as `drw_tf.export` may have replaced it; {} if unknown."""
    try:
        found = json.loads((folder / "assets" / saved_model.CONFIGURATION).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def summary(config: configuration.Config, result: dict) -> str:
    """What came out of a run, where it lies, and what the export has of it."""
    folder = workdir.Layout(config.workdir)
    lines, what = [], "last evaluation"
    found = {
        network: {name: one["last"] for name, one in metrics.items()}
        for network, metrics in result["final"].items()
    }
    if not found and result["history"]:  # no test pictures
        what += " on the pictures held out"
        found = result["history"][-1].get("validation", {})
    for network, title in (("ema", "averaged network"), ("ema_unadjusted", "without adjustment")):
        last = found.get(network)
        if last:
            lines.append(
                f"{title}, {what}: bACC {_percent(last['balanced_accuracy'])}, accuracy "
                f"{_percent(last['accuracy'])}, GM {_percent(last['geometric_mean'])}, Many / "
                f"Medium / Few {_percent(last['many'])} / {_percent(last['medium'])} / "
                f"{_percent(last['few'])}"
            )
    places = [folder.record, folder.checkpoints, folder.tensorboard]
    places += [folder.export] if config.export else []
    found = ", ".join(str(place) for place in places if place.exists())
    lines.append(f"written: {found}")
    if config.export and config.recipe.adjusts:
        lines.append(contradictions.adjustment_in_export(config))
    names = result["dataset"]["class_names"]
    lines += [f"note: {line}." for line in doubts.lines(config, result["history"], names)]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _agree_with_earlier(config: configuration.Config, folder: workdir.Workdir) -> None:
    """Refuses to go on with flags that would make it another run.

    Where nothing was trained there is nothing to go on with: flags that were refused
    once the data were known must not stand in the way of the right ones. Of a run that is begun
    they are written when nothing else can refuse them.
    """
    lines = _other_flags(config, folder)
    if lines and folder.is_begun:
        raise configuration.ConfigError(
            f"--workdir={folder.path} holds a run with other flags ({'; '.join(lines)}); "
            "give the same flags, another --workdir, or --fresh to start over."
        )
    if not folder.is_begun:
        folder.write_config(config.to_json())


def _other_flags(config: configuration.Config, folder: workdir.Layout) -> list[str]:
    """A line for each flag that makes this another run than that of the folder."""
    if not folder.config.exists():
        return []
    return configuration.differences(configuration.read(folder.config), config)


def _start_over(config: configuration.Config, folder: workdir.Workdir) -> int:
    aside = folder.set_aside()
    if aside:
        _LOG.warning("the earlier run was moved to %s", aside)
    folder.write_config(config.to_json())
    return 0  # a number is what is told to the other workers


def _agree_on_data(now: Mapping, folder: workdir.Workdir) -> int:
    """Refuses to go on with other pictures or classes than those that the run was begun with."""
    if folder.is_begun:
        run_folder.require_same_data(now, folder.path)
    folder.write_data(json.dumps(now, indent=1))
    return 0  # a number is what is told to the other workers
