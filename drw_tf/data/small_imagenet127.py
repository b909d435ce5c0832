"""`--dataset=small_imagenet127_32` and `_64`: ImageNet-127 at 32 or 64 pixels.

The pictures are those of Chrabaszcz et al. (arXiv:1707.08819), merged into 127 classes as in
`imagenet127`; the protocol is CoSSL's. Read are the original files (train_data_batch_1 to _10
and val_data, pickles or .npz), or what TensorFlow Datasets prepared as imagenet_resized.
Both number the 1000 classes in an order of their own, which is not the wnids': a table in the
package translates the files' numbers, and the names in the prepared set theirs.

Training rows keep the order of the files. TensorFlow Datasets shuffles when it prepares and
keeps no number of the original row, so "the first tenth of each class" (seed 0) is another
tenth there. In CoSSL's protocol the unlabeled stream draws from all training pictures, the
labeled ones included; that is decided where streams are made.

Memory: 1,281,167 pictures are 3.9 GB at 32 pixels and 15.7 GB at 64, plus one batch file
while loading. Pixels are held in memory, in one array that is filled in place; with a
`cache_dir` they are written there once and mapped, and memory holds what is in use.
"""

import os

from drw_tf.data import (
    cache_folder,
    imagenet127,
    pixel_cache,
    prepared_sets,
    small_imagenet_files,
)
from drw_tf.data import dataset as records

SIZES = (32, 64)

# Means of the 32-pixel training pictures. YUE-FAN/CoSSL:dataset/fix_small_imagenet127.py
MEAN = (0.48109809, 0.45747185, 0.40785507)
STD = (0.26040889, 0.2532126, 0.26820634)


def load(data_dir: str, size: int, *, cache_dir: str | None = None) -> records.Dataset:
    """Small-ImageNet-127 from whichever form lies in a folder.

    Args:
        data_dir: folder of the original files (or of their folders Imagenet<size>_train and
            Imagenet<size>_val), or of TensorFlow Datasets' prepared sets.
        size: side of the pictures, 32 or 64.
        cache_dir: folder outside `data_dir` for the pixels, or None to hold them in memory.

    Raises:
        FileNotFoundError: neither form is there, or a batch file is missing.
        ValueError: `size` is another, a file is not what it should be, memory is too small
            or `cache_dir` cannot be used.
    """
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}, got {size}.")
    name = f"small_imagenet127_{size}"
    data_dir = os.path.expanduser(data_dir)
    prepared = prepared_sets.newest(data_dir, "imagenet_resized", f"{size}x{size}")
    if prepared is not None:
        train = small_imagenet_files.from_tfds(prepared, "train", size)
        val = small_imagenet_files.from_tfds(prepared, "validation", size)
    else:
        train, val = small_imagenet_files.from_batches(data_dir, size)
    if cache_dir is None:
        pixel_cache.check_memory([train, val])
        images = [pixel_cache.in_memory(source) for source in (train, val)]
    else:
        cache_dir = os.path.expanduser(cache_dir)
        cache_folder.make(cache_dir, data_dir)
        images = [
            pixel_cache.in_file(source, os.path.join(cache_dir, f"{name}_{part}"))
            for source, part in ((train, "train"), (val, "val"))
        ]
    return records.Dataset(
        name=name,
        class_names=imagenet127.class_names(),
        image_shape=(size, size, 3),
        train=images[0],
        test=images[1],
        flip=True,
        mean=MEAN,
        std=STD,
    )
