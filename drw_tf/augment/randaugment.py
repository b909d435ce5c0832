"""RandAugment: a few random operations on each image, many images at a time."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from drw_tf.augment import color, cutout, geometry

# uint8 [B, H, W, Ch] and float32 [B], the magnitudes -> uint8 [B, H, W, Ch].
_COLOR: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
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
_NO_MOVE = (0, 0, 0, 0, 0)
_CUTOUT = "Cutout"
_NOTHING = "Identity"
# Stands for all geometric operations: what differs among them is a matrix.
_MOVES = "moves"


def _moves(size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
    """Arguments of `geometry.affine` that a magnitude of 1 stands for."""
    return {
        "Rotate": (1, 0, 0, 0, 0),
        "ShearX": (0, 1, 0, 0, 0),
        "ShearY": (0, 0, 1, 0, 0),
        "TranslateX": (0, 0, 0, size[1], 0),
        "TranslateY": (0, 0, 0, 0, size[0]),
        "TranslateXPixels": (0, 0, 0, 1, 0),
        "TranslateYPixels": (0, 0, 0, 0, 1),
    }


NAMES = (_NOTHING, *_COLOR, *_moves((1, 1)), _CUTOUT)

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
        before_crop: whether the operations come before flip and crop, and images are padded
            with `fill` for the crop; else they come after it, and the padding is reflected.
        order: "composed" or "drawn". "drawn" applies each slot to the pixels in turn.
            "composed" first moves the pixels, all geometric operations (and flip and crop)
            in one step, then applies the colour operations in their order. Differs from
            "drawn" by less rounding of positions, by corners that come back when two
            moves cancel, and by the fill, which then takes part in the colours. With
            `before_crop` so does the padding of the crop, which in "drawn" comes after all
            colours: Invert makes it white, and AutoContrast and Equalize see it.
        cutout_color: red, green, blue in [0, 255].
        cutout_fraction: side of the square over the shorter side of the picture, in
            [0, 1].
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
        if not self.operations or self.count < 1:
            raise ValueError(
                "operations and count must be at least 1, "
                f"got {len(self.operations)} and {self.count}."
            )
        if not all(0 <= level <= 1 for level in self.levels):
            raise ValueError(f"levels must be in [0, 1], got {self.levels}.")
        if self.order not in (COMPOSED, DRAWN):
            raise ValueError(f"order must be {COMPOSED} or {DRAWN}, got {self.order}.")
        for name in ("probability", "cutout_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")

    @property
    def padding(self) -> str:
        """What images are padded with before they are cropped."""
        return geometry.CONSTANT if self.before_crop else geometry.REFLECT

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
            the operations also "place": float32 [B, count, 2], in [0, 1).
        """
        uniforms = tf.reshape(uniforms, [tf.shape(uniforms)[0], self.count, -1])
        which, level, sign, skip = tf.unstack(uniforms[..., :4], axis=-1)
        total = len(self.operations)
        index = tf.cast(which * total, tf.int32)
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
            draws["place"] = uniforms[..., 4:]
        return draws

    def moves_pixels(self) -> bool:
        """Whether any of the operations does."""
        return any(self._moving_operations())

    def moving(self, operation: tf.Tensor) -> tf.Tensor:
        """bool [B], which images a slot moves the pixels of; int32 [B, count], of `draw`."""
        return tf.reduce_any(tf.gather(tf.constant(self._moving_operations()), operation), axis=1)

    def matrices(
        self, operation: tf.Tensor, magnitude: tf.Tensor, size: tuple[int, int]
    ) -> tf.Tensor:
        """float32 [B, count, 3, 3], the move of each slot.

        Args:
            operation: int32 [B, count], of `draw`.
            magnitude: float32 [B, count], of `draw`.
            size: (H, W), pixels.
        """
        table = tf.constant(self._move_table(size), tf.float32)
        arguments = tf.gather(table, operation) * magnitude[..., None]
        return geometry.affine(size, *tf.unstack(arguments, axis=-1))

    def change(
        self,
        images: tf.Tensor,
        draws: dict[str, tf.Tensor],
        slot: int,
        matrices: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The images after the operations of one slot.

        Args:
            images: uint8 [B, H, W, Ch].
            draws: of `draw`.
            slot: in [0, count).
            matrices: float32 [B, 3, 3], of the geometric operations; None leaves them out.

        Returns:
            uint8 [B, H, W, Ch].
        """
        kinds, part_of = self._parts(with_moves=matrices is not None)
        part = tf.gather(tf.constant(part_of), draws["operation"][:, slot])
        # Every operation gets only its own images; they are independent of one another.
        rows, pixels, magnitudes = (
            tf.dynamic_partition(value, part, len(kinds))
            for value in (tf.range(tf.shape(images)[0]), images, draws["magnitude"][:, slot])
        )
        for number, kind in enumerate(kinds):
            if kind in _COLOR:
                pixels[number] = _COLOR[kind](pixels[number], magnitudes[number])
            elif kind == _CUTOUT:
                place = tf.gather(draws["place"][:, slot], rows[number])
                pixels[number] = self._cut(pixels[number], magnitudes[number], place)
            elif kind == _MOVES:
                matrix = tf.gather(matrices, rows[number])
                pixels[number] = geometry.warp_pixels(pixels[number], matrix, self.fill)
        return tf.reshape(tf.dynamic_stitch(rows, pixels), tf.shape(images))

    def apply(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """uint8 [B, H, W, Ch], every slot applied to the pixels in the order drawn."""
        size = (images.shape[1], images.shape[2])
        matrices = self.matrices(draws["operation"], draws["magnitude"], size)
        for slot in range(self.count):
            images = self.change(images, draws, slot, matrices[:, slot])
        return images

    def paint_color(self, channels: int) -> tuple[int, ...]:
        """`cutout_color` for pictures of that many channels: its mean where not of three."""
        if channels == 3:
            return self.cutout_color
        return (round(sum(self.cutout_color) / 3),) * channels

    def _parts(self, with_moves: bool) -> tuple[list[str], list[int]]:
        """Kinds of operations that are applied together, and the part of each operation."""
        moves = [with_moves and moving for moving in self._moving_operations()]
        names = (*self._names(), _NOTHING)
        own = [
            _MOVES if move else name if name in _COLOR or name == _CUTOUT else _NOTHING
            for name, move in zip(names, moves, strict=True)
        ]
        kinds = list(dict.fromkeys((_NOTHING, *own)))
        return kinds, [kinds.index(kind) for kind in own]

    def _move_table(self, size: tuple[int, int]) -> list[tuple[float, ...]]:
        """What a magnitude of 1 means for each argument of `affine`, by operation."""
        # The last row is for slots that do nothing.
        return [_moves(size).get(name, _NO_MOVE) for name in (*self._names(), _NOTHING)]

    def _moving_operations(self) -> list[bool]:
        return [row != _NO_MOVE for row in self._move_table((1, 1))]

    def _names(self) -> list[str]:
        return [operation.name for operation in self.operations]

    def _paints(self) -> bool:
        return _CUTOUT in self._names()

    def _cut(self, images: tf.Tensor, side: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        size = (images.shape[1], images.shape[2])
        boxes = cutout.inclusive_boxes(cutout.inclusive_centers(place, size), side, size)
        return cutout.paint(images, boxes, self.paint_color(images.shape[-1]))
