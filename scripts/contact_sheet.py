"""Writes a picture that shows every operation and policy, to be looked at.

    python scripts/contact_sheet.py --output=sheet.png
    python scripts/contact_sheet.py --images=photographs --side=64

One row for each operation: the picture and three magnitudes, for each picture. Below, one
row for each policy: the weak view and three strong ones.
"""

import itertools
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import repository  # noqa: F401
import tensorflow as tf
from absl import app, flags
from PIL import Image, ImageDraw

from drw_tf import config as configuration
from drw_tf.augment import presets, randaugment, views
from drw_tf.data import digits, image_files, image_folder, image_scan, naming

FLAGS = flags.FLAGS
flags.DEFINE_string("output", "contact_sheet.png", "The PNG file to write; its folder is made.")
flags.DEFINE_string("images", None, "Folder of pictures; all below it count. None: digits.")
flags.DEFINE_integer("number", 3, "Pictures to show.", 1)
flags.DEFINE_integer("side", 64, "Side that pictures of --images are resized to, pixels.", 8)
flags.DEFINE_integer("zoom", None, "Screen pixels of a pixel; None: as fits 64 pixels.", 1)
flags.DEFINE_integer(
    "seed", 1, "Of the random views, and of which pictures are shown.", 0, 2**31 - 1
)

_LABEL_WIDTH = 170
_GAP = 2
# Low, middle and high magnitude of each operation; signs as they may be drawn.
_MAGNITUDES = {
    "Identity": (0, 0, 0),
    "AutoContrast": (0, 0, 0),
    "Brightness": (0.1, 0.6, 1.9),
    "Color": (0.1, 0.6, 1.9),
    "Contrast": (0.1, 0.6, 1.9),
    "Equalize": (0, 0, 0),
    "Invert": (0, 0, 0),
    "Posterize": (1, 3, 6),
    "Sharpness": (0.0, 0.5, 4.0),
    "Solarize": (0, 128, 230),
    "SolarizeAdd": (0, 55, 110),
    "Rotate": (-30, 10, 30),
    "ShearX": (-0.3, 0.1, 0.3),
    "ShearY": (-0.3, 0.1, 0.3),
    "TranslateX": (-0.3, 0.1, 0.3),
    "TranslateY": (-0.3, 0.1, 0.3),
    "TranslateXPixels": (-3, 1, 3),
    "TranslateYPixels": (-3, 1, 3),
    "Cutout": (2, 4, 12),
}


def _digits():
    """uint8 [number, 8, 8, 1], handwritten digits; after the last comes the first."""
    return np.roll(digits.load().train.pixels, -FLAGS.seed, axis=0)[: FLAGS.number]


def _photographs(folder):
    """uint8 [number, side, side, 3], central squares of pictures below a folder."""
    paths = image_folder.listed("--images", folder, print).paths()
    order = np.random.default_rng(FLAGS.seed).permutation(len(paths))
    sound = (index for index in order if _is_sound(paths[index]))
    chosen = sorted(itertools.islice(sound, FLAGS.number))
    if not chosen:
        raise ValueError(f"--images={folder} has no picture that can be decoded.")
    squares = [
        image_files.decode_resized(tf.io.read_file(paths[index]), FLAGS.side, fraction=1.0)
        for index in chosen
    ]
    return np.stack(squares)


def _is_sound(path):
    """Whether a picture can be decoded; prints why not."""
    found = image_scan.faults([path])
    for reason in found.values():
        print(f"left out {naming.shown(path)}: {reason}")
    return not found


def _after(images, name, magnitude):
    """The images after one operation, in the middle of the picture where it has a place."""
    policy = randaugment.RandAugment((randaugment.Operation(name),), count=1, fill=128)
    rows = len(images)
    draws = {
        "operation": tf.zeros([rows, 1], tf.int32),
        "magnitude": tf.fill([rows, 1], float(magnitude)),
        "place": tf.fill([rows, 1, 2], 0.5),
    }
    return policy.apply(tf.constant(images), draws).numpy()


def _operation_rows(images):
    """(label, tiles) of each operation; tiles are uint8 [H, W, Ch]."""
    for name in randaugment.NAMES:
        after = [_after(images, name, magnitude) for magnitude in _MAGNITUDES[name]]
        tiles = [tile for k in range(len(images)) for tile in (images[k], *(a[k] for a in after))]
        shown = "" if not any(_MAGNITUDES[name]) else " {:g} {:g} {:g}".format(*_MAGNITUDES[name])
        yield name + shown, tiles


def _policy_rows(images):
    """(label, tiles) of each policy and order."""
    rows, padding = len(images), images.shape[1] // 8
    for name in presets.NAMES:
        for order in (randaugment.COMPOSED, randaugment.DRAWN):
            policy = presets.preset(name, order)
            maker = views.Views(images.shape[1:], name != "digits", padding, policy)
            made = []
            for number, kind in enumerate((views.WEAK, *[views.STRONG] * 3)):
                draws = maker.draw(kind, tf.constant([FLAGS.seed, number]), rows)
                made.append(maker.apply(kind, tf.constant(images), draws).numpy())
            yield f"{name} {order}", [view[k] for k in range(rows) for view in made]


def _sheet(rows, zoom):
    """A picture with one line for each (label, tiles)."""
    height, width = rows[0][1][0].shape[:2]
    step_x, step_y = width * zoom + _GAP, height * zoom + _GAP
    columns = len(rows[0][1])
    extra = 3 * _GAP * (columns // 4)
    sheet = Image.new("RGB", (_LABEL_WIDTH + columns * step_x + extra, len(rows) * step_y), "white")
    for line, (label, tiles) in enumerate(rows):
        ImageDraw.Draw(sheet).text((4, line * step_y + step_y // 2 - 6), label, "black")
        for column, tile in enumerate(tiles):
            pixels = np.repeat(tile, 3, -1) if tile.shape[-1] == 1 else tile
            tile = Image.fromarray(pixels).resize((width * zoom, height * zoom), 0)
            x = _LABEL_WIDTH + column * step_x + 3 * _GAP * (column // 4)
            sheet.paste(tile, (x, line * step_y))
    return sheet


def _place():
    """Path of the picture to write, in a folder that is there."""
    place = pathlib.Path(FLAGS.output)
    if place.suffix.lower() != ".png" or place.is_dir():
        raise ValueError(f"--output must be a file whose name ends in .png, got {place}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output={place} cannot be written: {error}.") from None
    return place


def main(_):
    """Writes the sheet."""
    try:
        place = _place()
        images = _photographs(FLAGS.images) if FLAGS.images else _digits()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        configuration.refuse("contact_sheet", error)
    zoom = FLAGS.zoom or max(1, 64 // images.shape[1])
    sheet = _sheet([*_operation_rows(images), *_policy_rows(images)], zoom)
    try:
        sheet.save(place)
    except OSError as error:
        configuration.refuse("contact_sheet", f"--output={place} cannot be written: {error}.")
    print(f"wrote {place}")


if __name__ == "__main__":
    app.run(main)
