"""The views of an image that the methods train on: weak and strong."""

import dataclasses

import tensorflow as tf

from drw_tf.augment import cutout, geometry, randaugment

WEAK, STRONG = "weak", "strong"
KINDS = (WEAK, STRONG)
CROP = "crop"
RESIZED_CROP = "resized_crop"


@dataclasses.dataclass(frozen=True)
class Views:
    """How the views of a batch of images are made.

    Random numbers are drawn apart from the pixels: `draw` is a function of the seed and
    of the number of rows, `apply` of the images and the draws, row by row. So draws may be
    made for a whole batch and sliced among replicas. Each view takes its own seed.

        weak    flip and crop
        strong  flip and crop, RandAugment, Cutout

    Attributes:
        image_shape: (H, W, Ch), with Ch 1 or 3.
        flip: whether images are mirrored, with probability 1/2.
        crop_padding: pixels on each side before the image is cut back to its size.
        strong: the policy of the strong view, see `presets`.
        geometry: "crop", or "resized_crop" for images that were cropped at a random place
            and scale when they were decoded (see `crops`): then only the flip remains.
        one_place: whether strong views have place, scale and flip of the first view of the
            image, as in FixMatch's ImageNet code; with "resized_crop". The stream sees to it.
    """

    image_shape: tuple[int, int, int]
    flip: bool
    crop_padding: int
    strong: randaugment.RandAugment
    geometry: str = CROP
    one_place: bool = False

    def __post_init__(self):
        if not 0 <= self.crop_padding < min(self.image_shape[:2]):
            raise ValueError(
                f"crop_padding must be in [0, {min(self.image_shape[:2])}), "
                f"got {self.crop_padding}."
            )
        if self.geometry not in (CROP, RESIZED_CROP):
            raise ValueError(f"geometry must be {CROP} or {RESIZED_CROP}, got {self.geometry}.")
        if self.one_place and self.geometry != RESIZED_CROP:
            raise ValueError(f"one_place needs geometry {RESIZED_CROP}, got {self.geometry}.")

    @property
    def side(self) -> int:
        """Side of the square of Cutout, pixels; 0: none."""
        return int(self.strong.cutout_fraction * min(self.image_shape[:2]))

    def draw(self, kind: str, seed: tf.Tensor, rows: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """The random choices of one view of a batch.

        Args:
            kind: "weak" or "strong".
            seed: int32 or int64 [2].
            rows: images in the batch.

        Returns:
            Tensors of shape [rows, ...], for `apply`; they may be sliced by row. "flip":
            bool, "shift": int32 [rows, 2] (down, right), in [0, 2 * crop_padding]; for
            "strong" also what `RandAugment.draw` returns and "box": int32 [rows, 4].

        Raises:
            KeyError: there is no such kind.
        """
        if kind not in KINDS:
            raise KeyError(f"kind must be one of {', '.join(KINDS)}, got {kind}.")
        wanted = 3 if kind == WEAK else 6 + self.strong.num_uniforms
        uniforms = tf.random.stateless_uniform([rows, wanted], seed)
        draws = {}
        if self.flip:
            draws["flip"] = uniforms[:, 0] < 0.5
        if self._padding():
            places = 2 * self._padding() + 1
            draws["shift"] = tf.cast(uniforms[:, 1:3] * places, tf.int32)
        if kind == STRONG:
            draws |= self.strong.draw(uniforms[:, 6:])
            draws |= self._draw_box(uniforms[:, 3:6])
        return draws

    def apply(self, kind: str, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """One view of the images.

        Args:
            kind: "weak" or "strong".
            images: uint8 [B, H, W, Ch].
            draws: of `draw` for the same kind, sliced to the rows of `images`.

        Returns:
            uint8 [B, H, W, Ch].

        Raises:
            KeyError: there is no such kind.
        """
        if kind not in KINDS:
            raise KeyError(f"kind must be one of {', '.join(KINDS)}, got {kind}.")
        images = tf.ensure_shape(images, [None, *self.image_shape])
        if kind == WEAK:
            return self._crop(images, draws)
        if self.strong.order == randaugment.DRAWN:
            images = self._apply_drawn(images, draws)
        else:
            images = self._apply_composed(images, draws)
        if not self.side:
            return images
        return cutout.paint(images, draws["box"], self.strong.paint_color(self.image_shape[-1]))

    def _padding(self) -> int:
        return self.crop_padding if self.geometry == CROP else 0

    def _draw_box(self, uniforms: tf.Tensor) -> dict[str, tf.Tensor]:
        """The square to paint over, from float32 [B, 3] in [0, 1)."""
        if not self.side:
            return {}
        size = self.image_shape[:2]
        if self.strong.random_cutout:
            center = cutout.inclusive_centers(uniforms[:, :2], size)
            return {"box": cutout.inclusive_boxes(center, uniforms[:, 2] * self.side, size)}
        center = tf.cast(uniforms[:, :2] * tf.constant(size, tf.float32), tf.int32)
        return {"box": cutout.square_boxes(center, self.side, size)}

    def _crop(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Flip and crop."""
        if not draws.keys() & {"flip", "shift"}:
            return images
        flip, shift = self._moves(images, draws)
        policy = self.strong
        return geometry.crop_and_flip(
            images, flip, shift, self._padding(), policy.padding, policy.fill
        )

    def _moves(self, images: tf.Tensor, draws: dict) -> tuple[tf.Tensor, tf.Tensor]:
        """bool [B] and int32 [B, 2], flips and shifts, also where nothing was drawn."""
        rows = tf.shape(images)[0]
        flip = draws["flip"] if "flip" in draws else tf.zeros([rows], tf.bool)
        shift = draws["shift"] if "shift" in draws else tf.zeros([rows, 2], tf.int32)
        return flip, shift

    def _apply_drawn(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Flip, crop and each operation by itself, in the order drawn."""
        if self.strong.before_crop:
            return self._crop(self.strong.apply(images, draws), draws)
        return self.strong.apply(self._crop(images, draws), draws)

    def _apply_composed(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """All that moves pixels in one step, then what changes their values."""
        if self.strong.moves_pixels():
            images = geometry.move(images, self._positions(images, draws), self.strong.fill)
        else:
            images = self._crop(images, draws)
        for slot in range(self.strong.count):
            images = self.strong.change(images, draws, slot)
        return images

    def _positions(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, H, W], where each pixel comes from after flip, crop and all slots."""
        flip, shift = self._moves(images, draws)
        size, padding = self.image_shape[:2], self._padding()
        cropped = geometry.crop_map(flip, shift, size, padding, self.strong.padding)
        moving = tf.cast(self.strong.moving(draws["operation"]), tf.int32)
        still_rows, rows = tf.dynamic_partition(tf.range(tf.shape(images)[0]), moving, 2)
        still, moved = tf.dynamic_partition(cropped, moving, 2)
        mine = [tf.gather(draws[name], rows) for name in ("operation", "magnitude")]
        matrix, *others = tf.unstack(self.strong.matrices(*mine, size), axis=1)
        for other in others:
            matrix = tf.matmul(matrix, other)
        if self.strong.before_crop:
            crop = geometry.crop_matrices(
                tf.gather(flip, rows), tf.gather(shift, rows), size, padding
            )
            moved = _warp_before_crop(moved, rows, tf.matmul(matrix, crop))
        else:
            moved = _warp(moved, matrix)
        return tf.reshape(tf.dynamic_stitch([still_rows, rows], [still, moved]), tf.shape(cropped))


def _warp(positions: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """int32 [B, H, W], a map of positions moved by one matrix each."""
    return geometry.warp(positions[..., None], matrices, geometry.OUTSIDE)[..., 0]


def _warp_before_crop(cropped: tf.Tensor, rows: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """int32 [B, H, W], positions after a move and then a crop, both of them in `matrices`.

    Args:
        cropped: int32 [B, H, W], positions after the crop alone.
        rows: int32 [B], numbers of the images.
        matrices: float32 [B, 3, 3].
    """
    moved = _warp(geometry.identity_map(rows, tuple(cropped.shape[1:])), matrices)
    # Nothing was moved to where the crop shows its padding.
    return moved * tf.cast(cropped > geometry.OUTSIDE, tf.int32)
