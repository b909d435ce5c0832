"""RandAugment: a few random operations on each image, many images at a time."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from drw_tf.augment import color, cutout, geometry

Images = tf.Tensor
_COLOR: dict[str, Callable[[Images, tf.Tensor], Images]] = {
    "AutoContrast": color.autocontrast,
    "Brightness": color.brightness,
    "Color": color.saturation,
    "Contrast": color.contrast,
    "Equalize": color.equalize,
    "Invert": color.invert,
    "Posterize": color.posterize,
    "Sharpness": color.sharpness,
    "Solarize": color.solarize,
    "SolarizeAdd": color.solarize_add,
}
_GEOMETRY = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
# The same in pixels of the picture, not in fractions of its side.
_PIXELS = {"TranslateXPixels": "TranslateX", "TranslateYPixels": "TranslateY"}
_CUTOUT = "Cutout"
NAMES = ("Identity", *_COLOR, *_GEOMETRY, *_PIXELS, _CUTOUT)

COMPOSED = "composed"
DRAWN = "drawn"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation and the range of its magnitude.

    Attributes:
        name: one of `NAMES`.
        low: magnitude at level 0, in the unit of the operation.
        high: magnitude at level 1.
        signed: whether the magnitude is negated with probability 1/2.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    signed: bool = False


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """A policy: which operations, how many, how strong, and the Cutout that follows.

    Attributes:
        operations: one of them is drawn for each slot, with replacement.
        count: slots.
        levels: one of them is drawn for each slot; each in [0, 1]. Empty: any in [0, 1).
        probability: that a slot does anything, in [0, 1].
        fill: grey level of what a geometric operation moves in, in [0, 255].
        before_crop: whether the operations come before flip and crop.
        order: "composed" or "drawn". "drawn" applies each slot to the pixels in turn.
            "composed" first moves the pixels, all geometric operations (and flip and crop)
            in one step, then applies the colour operations in their order. Differs from
            "drawn" by less rounding of positions, by corners that come back when two
            moves cancel, and by the fill, which then takes part in the colours.
        cutout_color: red, green, blue in [0, 255].
        cutout_fraction: side of the square over the shorter side of the picture.
        random_cutout: whether its side is uniform in [0, side) and its box as Pillow draws
            it; else the side is fixed and the box is about a whole pixel.
    """

    operations: tuple[Operation, ...]
    count: int
    levels: tuple[float, ...] = ()
    probability: float = 1.0
    fill: int = 0
    before_crop: bool = False
    order: str = COMPOSED
    cutout_color: tuple[int, int, int] = (0, 0, 0)
    cutout_fraction: float = 0.5
    random_cutout: bool = False

    def __post_init__(self):
        unknown = [o.name for o in self.operations if o.name not in NAMES]
        if unknown:
            raise ValueError(f"operations must be among {', '.join(NAMES)}, got {unknown}.")
        if self.order not in (COMPOSED, DRAWN):
            raise ValueError(f"order must be {COMPOSED} or {DRAWN}, got {self.order}.")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {self.probability}.")

    @property
    def num_uniforms(self) -> int:
        """Random numbers that an image needs."""
        return (6 if self._paints() else 4) * self.count

    def draw(self, uniforms: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is done to each image.

        Args:
            uniforms: float32 [B, num_uniforms], in [0, 1).

        Returns:
            "operation": int32 [B, count], index into `operations`, or their number where
            the slot does nothing. "magnitude": float32 [B, count]. With a Cutout among
            the operations also "box_center": float32 [B, count, 2], (y, x) in (0, 1].
        """
        uniforms = tf.reshape(uniforms, [tf.shape(uniforms)[0], self.count, -1])
        which, level, sign, skip = tf.unstack(uniforms[..., :4], axis=-1)
        total = len(self.operations)
        index = tf.minimum(tf.cast(which * total, tf.int32), total - 1)
        if self.levels:
            picked = tf.cast(level * len(self.levels), tf.int32)
            level = tf.gather(tf.constant(self.levels, tf.float32), picked)
        table = [[o.low, o.high - o.low, float(o.signed)] for o in self.operations]
        low, spread, signed = tf.unstack(tf.gather(tf.constant(table, tf.float32), index), axis=-1)
        magnitude = (low + spread * level) * (1.0 - 2.0 * signed * tf.round(sign))
        if self.probability < 1:
            index = tf.where(skip < self.probability, index, total)
        draws = {"operation": index, "magnitude": magnitude}
        if self._paints():
            draws["box_center"] = 1.0 - uniforms[..., 4:]
        return draws

    def matrices(self, draws: dict[str, tf.Tensor], size: tuple[int, int]) -> tf.Tensor | None:
        """float32 [B, count, 3, 3], the move of each slot; None if no operation moves pixels."""
        names = [_PIXELS.get(o.name, o.name) for o in self.operations]
        if not set(names) & set(_GEOMETRY):
            return None
        scale = {"TranslateX": size[1], "TranslateY": size[0]}
        rows = [
            [
                float(name == moved) * (1 if o.name in _PIXELS else scale.get(moved, 1))
                for moved in _GEOMETRY
            ]
            for name, o in zip(names, self.operations, strict=True)
        ]
        # The last row is that of a slot that does nothing.
        table = tf.constant([*rows, [0.0] * len(_GEOMETRY)], tf.float32)
        arguments = tf.gather(table, draws["operation"]) * draws["magnitude"][..., None]
        return geometry.affine(size, *tf.unstack(arguments, axis=-1))

    def recolor(self, images: tf.Tensor, draws: dict[str, tf.Tensor], slot: int) -> tf.Tensor:
        """uint8 [B, H, W, Ch], the images after the colour operations of one slot."""
        names = [o.name for o in self.operations]
        changing = [n for n in dict.fromkeys(names) if n in _COLOR or n == _CUTOUT]
        if not changing:
            return images
        groups = tf.constant([changing.index(n) + 1 if n in changing else 0 for n in [*names, ""]])
        group = tf.gather(groups, draws["operation"][:, slot])
        parts = len(changing) + 1
        rows = tf.dynamic_partition(tf.range(tf.shape(images)[0]), group, parts)
        pixels = tf.dynamic_partition(images, group, parts)
        magnitudes = tf.dynamic_partition(draws["magnitude"][:, slot], group, parts)
        for part, name in enumerate(changing, start=1):
            if name == _CUTOUT:
                center = tf.gather(draws["box_center"][:, slot], rows[part])
                pixels[part] = self._cut(pixels[part], magnitudes[part], center)
            else:
                pixels[part] = _COLOR[name](pixels[part], magnitudes[part])
        return tf.reshape(tf.dynamic_stitch(rows, pixels), tf.shape(images))

    def apply(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """uint8 [B, H, W, Ch], every slot applied to the pixels in the order drawn."""
        matrices = self.matrices(draws, (images.shape[1], images.shape[2]))
        for slot in range(self.count):
            if matrices is not None:
                images = geometry.warp(images, matrices[:, slot], self.fill)
            images = self.recolor(images, draws, slot)
        return images

    def _paints(self) -> bool:
        return any(o.name == _CUTOUT for o in self.operations)

    def _cut(self, images: tf.Tensor, side: tf.Tensor, center: tf.Tensor) -> tf.Tensor:
        size = (images.shape[1], images.shape[2])
        # Differs from uniform over the picture: the source calls np.random.uniform(width),
        # which is uniform between 1 and the width.
        center = 1.0 + center * (tf.constant(size, tf.float32) - 1.0)
        boxes = cutout.inclusive_boxes(center, side, size)
        return cutout.paint(images, boxes, self.paint_color(images.shape[-1]))

    def paint_color(self, channels: int) -> tuple[int, ...]:
        """`cutout_color` for pictures of that many channels: its mean where not of three."""
        if channels == 3:
            return self.cutout_color
        return (round(sum(self.cutout_color) / 3),) * channels
