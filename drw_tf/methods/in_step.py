"""What methods share inside a step: ramp, joint passes, mixup over all replicas, soft labels."""

import tensorflow as tf

from drw_tf.methods import base
from drw_tf.ops import mixup, replicas, schedules
from drw_tf.rebalance import draws


def key(method: base.Method, name: str) -> tf.Tensor:
    """int64 [2], for what is drawn by this name in this step, stage and run."""
    return draws.key(method.facts.seed, f"{method.stage.name}/{name}", method.step)


def ramp(method: base.Method) -> tf.Tensor:
    """Float32 scalar in [0, 1], how much of its weight the unlabeled loss has by now.

    It rises over the first `ramp_fraction` of the stage, in the form that `ramp` names.
    """
    rise = schedules.RAMPS[method.hyper.ramp]
    return rise(method.step, method.stage.steps, method.hyper.ramp_fraction)


def mixed(
    method: base.Method, images: list[tf.Tensor], targets: list[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and targets, each row mixed with a random one of the whole global batch.

    Args:
        method: reads `mixup_alpha`; one coefficient is drawn for the batch.
        images: parts, float32 [N_k, H, W, Ch].
        targets: a part for each of `images`, float32 [N_k, C].

    Returns:
        float32 [sum N_k, H, W, Ch] and [sum N_k, C], in the order of the parts.
    """
    # Differs from Berthelot et al. (NeurIPS 2019), Sec. 3.3: one coefficient a batch instead
    # of one a row, as in the code of DARP.
    coefficient = mixup.draw_coefficient(key(method, "mixup/share"), method.hyper.mixup_alpha)
    sizes = [part.shape[0] * replicas.count() for part in images]
    partners = mixup.draw_partners(key(method, "mixup/partners"), sum(sizes))
    mine = tf.concat([replicas.own_rows(part) for part in tf.split(partners, sizes)], axis=0)

    def blend(parts):
        everyone = tf.concat([replicas.all_rows(part) for part in parts], axis=0)
        return mixup.mix(tf.concat(parts, axis=0), tf.gather(everyone, mine), coefficient)

    return blend(images), blend(targets)


def count(method: base.Method, targets: tf.Tensor, loss: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Counts soft pseudo-labels by their largest class; returns their mean largest share.

    Args:
        method: its histogram is added to. Without a threshold every label is confident.
        targets: float32 [U, C].
        loss: float32 [K U], of K views of each picture, view by view.
        index: int64 [U], rows of the pool.
    """
    label = tf.argmax(targets, axis=-1, output_type=tf.int32)
    each = tf.reduce_mean(tf.reshape(loss, [-1, targets.shape[0]]), axis=0)
    method.histogram.add(label, tf.ones_like(each), each, index)
    return tf.reduce_mean(tf.reduce_max(targets, axis=-1))


def split_outputs(outputs: dict[str, tf.Tensor], parts: list[tf.Tensor]) -> list[dict]:
    """The outputs of one joint forward pass, cut back into those of each part."""
    sizes = [part.shape[0] for part in parts]
    pieces = {name: tf.split(value, sizes) for name, value in outputs.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(len(parts))]


def forward_interleaved(method: base.Method, images: tf.Tensor, rows: int) -> tf.Tensor:
    """Logits of mixed images from passes of `rows` each, the first one a sample of all parts.

    Batch statistics of a pass of labeled rows alone would differ from those of the others.
    Each replica interleaves its own rows, so that other rows meet in a pass where there are
    more replicas, and the result depends on their number even with `sync_batch_norm`.

    Args:
        method: its network is called in training mode.
        images: float32 [n * rows, H, W, Ch].
        rows: of a pass.

    Returns:
        float32 [n * rows, C], in the order of `images`.
    """
    batches = images.shape[0] // rows
    order = mixup.interleaving(batches, rows)
    passes = tf.split(tf.gather(images, order), batches)
    logits = [method.network(part, training=True)["logits"] for part in passes]
    return tf.gather(tf.concat(logits, axis=0), order)
