"""This package's side of benchmark_against_pytorch.py: a step for each line it reads.

Prints one JSON object for "ready" and one for each line; standard error is for people.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measuring
import numpy as np
import repository  # noqa: F401
from tensorflow import keras

from drw_tf import run as runs


def exchange(run, batch, path):
    """Writes weights, class weights and the batch, for the other side to start from."""
    arrays = {}
    for layer in run.method.network.layers:
        name = layer.name
        if isinstance(layer, keras.layers.Conv2D):
            arrays[f"{name}.weight"] = layer.kernel.numpy().transpose(3, 2, 0, 1)
        elif isinstance(layer, keras.layers.Dense):
            arrays[f"{name}.weight"] = layer.kernel.numpy().T
            arrays[f"{name}.bias"] = layer.bias.numpy()
        elif isinstance(layer, keras.layers.BatchNormalization):
            arrays[f"{name}.weight"] = layer.gamma.numpy()
            arrays[f"{name}.bias"] = layer.beta.numpy()
    weights = {}
    for one in run.method.rebalancers:
        weights |= one.describe()
    for name, views in batch.items():
        for view, values in views.items():
            arrays[f"batch.{name}.{view}"] = values.numpy()
    np.savez(path, **arrays, **{f"weights.{name}": value for name, value in weights.items()})


def main():
    """Reads settings from the command line, then answers lines."""
    settings = json.loads(sys.argv[1])
    data = measuring.pictures(tuple(settings["shape"]), settings["classes"], 2000, 200)
    config = measuring.resolve(settings["flags"], settings["folder"])
    run = runs.Run(config, data=data)
    step = measuring.Step(run)
    batch = run.strategy.experimental_local_results(step.batch)[0]
    exchange(run, batch, settings["exchange"])
    parameters = sum(int(np.prod(v.shape)) for v in run.method.network.trainable_variables)
    loss = step()
    told = {"parameters": parameters, "loss": loss, "machine": measuring.machine()}
    print(json.dumps(told), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(settings["round_steps"]):
            step()
        print(json.dumps((time.perf_counter() - start) / settings["round_steps"]), flush=True)


if __name__ == "__main__":
    main()
