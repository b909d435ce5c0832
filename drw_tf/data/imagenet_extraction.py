"""Pictures of TensorFlow Datasets' imagenet2012, copied once into an ILSVRC tree.

Nothing is decoded: the JPEG bytes of the records become the files. A small file in the tree
says how many shards are done, so an interrupted run goes on at the shard where it stopped.
"""

import json
import os
import shutil

import tensorflow_datasets as tfds
import tqdm

from drw_tf import whole_files
from drw_tf.data import cache_folder

_STATE = "extraction.json"
_SPLITS = {"train": "train", "validation": "val"}


def check_complete(tree: str) -> None:
    """Refuses a tree whose extraction was interrupted.

    Args:
        tree: any folder; one that was not extracted here passes.

    Raises:
        ValueError: some shards are missing, or the state is not one.
    """
    state = _state(tree)
    if state is not None and state["done"] != state["shards"]:
        raise ValueError(
            f"{tree} is an unfinished extraction ({state['done']} of {state['shards']} shards); "
            "it goes on with --data_dir=<folder of the prepared set> --cache_dir=<this one>."
        )


def extract(folder: str, cache_dir: str, *, protected: str) -> None:
    """Writes train/<wnid>/*.JPEG and val/<wnid>/*.JPEG; does nothing where that is done.

    Args:
        folder: a prepared version of imagenet2012.
        cache_dir: folder for the tree, empty, missing, or begun by this function.
        protected: the user's folder, in which nothing may be written.

    Raises:
        ValueError: `cache_dir` may not be used, the disk has too little room, or a record
            is not what imagenet2012 holds.
    """
    builder = tfds.builder_from_directory(folder)
    for split in _SPLITS:
        if split not in builder.info.splits:
            raise ValueError(
                f"{folder} must have the splits train and validation, got "
                f"{', '.join(builder.info.splits)}."
            )
    cache_folder.make(cache_dir, protected)
    _refuse_other_things(cache_dir)  # before the lock, which is a file there
    with cache_folder.alone(cache_dir):
        _extract(builder, cache_dir)


def _extract(builder: tfds.core.DatasetBuilder, cache_dir: str) -> None:
    state = _begun(builder, cache_dir)
    shards = state["shards"]
    if state["done"] == shards:
        return
    _check_room(builder, state, cache_dir)
    for split, target in _SPLITS.items():
        total = builder.info.splits[split].num_examples
        done = state["done"][split]
        lengths = builder.info.splits[split].shard_lengths
        title = f"Extracting {split}"
        with tqdm.tqdm(total=total, initial=sum(lengths[:done]), desc=title, disable=None) as bar:
            for shard in range(done, shards[split]):
                bar.update(_extract_shard(builder, split, shard, os.path.join(cache_dir, target)))
                os.sync()  # An fsync for each of 1.3 million pictures would take hours.
                state["done"][split] = shard + 1
                _write_state(state, cache_dir)


def _begun(builder: tfds.core.DatasetBuilder, cache_dir: str) -> dict:
    """What is done already: {"source": ..., "shards": {split: all}, "done": {split: some}}."""
    source = f"{builder.info.full_name}, {builder.info.splits.total_num_examples} examples"
    shards = {split: builder.info.splits[split].num_shards for split in _SPLITS}
    fresh = {"source": source, "shards": shards, "done": dict.fromkeys(_SPLITS, 0)}
    state = _state(cache_dir)
    if state is not None:
        if state["source"] != source:
            raise ValueError(
                f"--cache_dir={cache_dir} holds an extraction of {state['source']}, "
                f"not of {source}; choose another folder."
            )
        return state
    _write_state(fresh, cache_dir)
    return fresh


def _refuse_other_things(cache_dir: str) -> None:
    if os.path.exists(os.path.join(cache_dir, _STATE)):
        return
    # A kill may have left what was to become the state.
    if set(os.listdir(cache_dir)) - {cache_folder.LOCK, *whole_files.unfinished(cache_dir)}:
        raise ValueError(
            f"--cache_dir={cache_dir} must be empty, missing, or from an earlier run; "
            "it holds other things."
        )


def _write_state(state: dict, cache_dir: str) -> None:
    with whole_files.replaced(os.path.join(cache_dir, _STATE)) as file:
        json.dump(state, file)


def _state(cache_dir: str) -> dict | None:
    path = os.path.join(cache_dir, _STATE)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        counts = [state[key][split] for key in ("shards", "done") for split in _SPLITS]
        is_whole = isinstance(state["source"], str) and all(isinstance(n, int) for n in counts)
    except (ValueError, LookupError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            f"{path} is not the state of an extraction: it must be JSON with source, shards and "
            "done; where it is damaged, extract into another folder."
        )
    return state


def _check_room(builder: tfds.core.DatasetBuilder, state: dict, cache_dir: str) -> None:
    needed = sum(
        builder.info.splits[split].num_bytes * (1 - state["done"][split] / state["shards"][split])
        for split in _SPLITS
    )
    free = shutil.disk_usage(cache_dir).free
    if free < needed:
        raise ValueError(
            f"--cache_dir={cache_dir} must have room for {needed / 1e9:.1f} GB, "
            f"got {free / 1e9:.1f} GB."
        )


def _extract_shard(builder: tfds.core.DatasetBuilder, split: str, shard: int, target: str) -> int:
    """Number of pictures written."""
    rows = builder.as_dataset(
        split=f"{split}[{shard}shard:{shard + 1}shard]",
        decoders={"image": tfds.decode.SkipDecoding()},
        shuffle_files=False,
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    wnids = builder.info.features["label"].names
    number = 0
    for number, row in enumerate(rows.as_numpy_iterator(), 1):  # noqa: B007
        name = row["file_name"].decode()
        if os.path.basename(name) != name or not name or name.startswith("."):
            raise ValueError(f"imagenet2012 must hold plain file names, got {name!r}.")
        path = os.path.join(target, wnids[row["label"]], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, row["image"])
    return number


def _write(path: str, contents: bytes) -> None:
    """Whole or not at all."""
    with open(path + ".part", "wb") as file:
        file.write(contents)
    os.replace(path + ".part", path)
