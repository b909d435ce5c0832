"""Trainings that kill themselves at a chosen moment, each in a process of its own.

A process that has imported the trainer, but made no device, graph or variable, reads one request
a line, as JSON, and forks for each: importing TensorFlow takes as long as the rest of a
tiny run. The child runs `drw_tf.train` with the request's arguments; where the
request names a moment, the child kills itself there with SIGKILL. A moment is {"at": name in
MOMENTS, "number": call that is not survived, from 1} or {"after": seconds since the first step's
end}, which may be inside of a step.
"""

import importlib
import json
import os
import signal
import sys
import threading
import traceback

# Where a run may be killed: module, object and function; before or after the call.
MOMENTS = {
    "between steps": ("drw_tf.training.loop:_Runner.on_train_batch_end", "before"),
    "after a step's end": ("drw_tf.training.loop:_Runner.on_train_batch_end", "after"),
    "first file of a checkpoint": ("drw_tf.whole_files:checksum", "before"),
    "files of a checkpoint": ("drw_tf.whole_files:flush", "before"),
    "checkpoint renamed": ("drw_tf.training.checkpoint:Checkpoints._remove_old", "before"),
    "old checkpoints removed": ("drw_tf.training.checkpoint:Checkpoints._remove_old", "after"),
    "end of an epoch": ("drw_tf.methods.base:Method.end_epoch", "after"),
    "evaluation": ("drw_tf.training.evaluation:Evaluator.logits_of_each", "before"),
    "metrics": ("drw_tf.ops.summary:summarize", "after"),
    "curves written": ("drw_tf.report.tensorboard:TensorBoardLog.log_evaluation", "after"),
    "curves cut off": ("drw_tf.report.event_files:truncate", "after"),
    "stage ended": ("drw_tf.training.stages:Stages.begin", "before"),
    "weights of a stage": ("drw_tf.training.stages:Stages._set_weights", "before"),
    "optimizer of a stage": ("drw_tf.training.stages:Stages.prepare", "after"),
    "stage begun": ("drw_tf.training.stages:Stages.begin", "after"),
    "flags written": ("drw_tf.session:_agree_with_earlier", "after"),
    "export": ("drw_tf.serving.warm_up:write", "before"),
    "record": ("drw_tf.report.record_file:write_record", "before"),
}
_STEP = {"now": 0}


def _die() -> None:
    """Leaves the step behind, and nothing else."""
    with open("killed_at_step", "w") as file:
        file.write(str(_STEP["now"]))
    os.kill(os.getpid(), signal.SIGKILL)


def find(path: str) -> tuple[object, str]:
    """The module or class that holds a function of the trainer, and the function's name."""
    module, names = path.split(":")
    *parents, name = names.split(".")
    owner = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


def _around(path: str, before=None, after=None) -> None:
    """Has a function of the trainer call others before or after itself."""
    owner, name = find(path)
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        if before:
            before(*args)
        result = function(*args, **kwargs)
        if after:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def _arm(moment: dict) -> None:
    """Arranges for the end of this process."""

    def look(runner, *_):
        _STEP["now"] = runner.step

    _around("drw_tf.training.loop:_Runner.on_train_batch_end", after=look)
    if "after" in moment:
        timer = threading.Timer(moment["after"], _die)
        timer.daemon = True
        starts = iter([timer.start])
        _around(
            "drw_tf.training.loop:_Runner.on_train_batch_end",
            after=lambda *_: next(starts, lambda: None)(),
        )
        return
    calls = iter(range(1, 1 << 30))

    def count(*_):
        if next(calls) == moment["number"]:
            _die()

    path, when = MOMENTS[moment["at"]]
    _around(path, **{when: count})


def _train(request: dict) -> None:
    """The child: never returns."""
    code = 1
    try:
        os.chdir(request["folder"])
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if request.get("moment"):
            _arm(request["moment"])
        from drw_tf import train

        train.main(["drw_tf.train", *request["arguments"]])
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serves requests until the end of the input; each answer is the child's exit code."""
    import tensorflow as tf

    from drw_tf import session, train  # noqa: F401

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _train(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
