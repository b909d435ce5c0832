"""ReMixMatch (Berthelot et al., ICLR 2020), as the code lineage of DARP runs it."""

import tensorflow as tf

from drw_tf.augment import geometry
from drw_tf.methods import base, in_step, tally
from drw_tf.models import heads
from drw_tf.ops import losses, mixup, pseudo_labels, replicas
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import running_mean

TURNS = 4


class ReMixMatch(base.Method):
    """Aligned pseudo-labels of a weak view for strong ones, mixup, and guessing rotations.

        p_j = softmax(f(weak(u_j)))                                  no gradient
        q_j = sharpen(norm(p_j N_c / mean of recent p), T)
        mixup of [strong(x), weak(u), strong_1(u), ..., strong_K(u)] with targets [y, q, ..., q]
        L = (1/B) sum_i H(y'_i, f(x'_i))
            + lambda_u ramp (1/((1+K)U)) sum_j H(q'_j, f(u'_j))
            + strong_weight ramp (1/U) sum_j H(q_j, f(strong_1(u_j)))
            + rotation_weight (1/U) sum_j H(turns_j, g(turned strong_1(u_j)))

    g is a second linear head; each image is turned by 0 to 3 quarter turns. N_c are the
    labeled counts, which takes unlabeled pictures to be distributed like labeled ones. The mean
    of recent p is over the last 128 batches, the present one included. K is `strong_views`.

    `forward="joint"` passes all but the pseudo-label pass at once; "separate" passes mixed
    images interleaved, B rows at a time, then turned and strong ones. All passes move the
    batch statistics. Class weights count each share of a soft target with the weight of its
    class, in all terms but the rotation's.

    Source: Berthelot et al. (arXiv:1911.09785), Sec. 3.
    """

    # Differs from Berthelot et al., Sec. 3.2 and 3.3: RandAugment stands for CTAugment, and the
    # weights of the two unlabeled terms rise for the whole run.
    labeled_views = ("strong",)
    compilable = False
    terms = ("loss_labeled", "loss_unlabeled", "loss_strong", "loss_rotation")
    scalars = ("confidence",)
    unread_seams = ("supervised_loss", "pseudo_target", "extra_terms")

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        self.is_interleaved = hyper.forward == "separate"
        height, width = self.network.input_shape[1:3]
        if height != width:
            raise ValueError(
                f"ReMixMatch turns pictures by quarters, so they must be square, "
                f"got {height} x {width}; choose another --method."
            )
        self.unlabeled_views = ("weak", "strong", "strong_2")[: 1 + hyper.strong_views]
        self.predicted = running_mean.RunningMean(facts.num_classes, uniform_start=False)
        self.histogram = tally.PseudoLabelHistogram(
            facts.num_classes, facts.pool_size, hyper.pseudo_memory
        )

    def heads(self):
        return super().heads() | {"rotation": lambda: heads.dense_head(TURNS, name="rotation")}

    def prepare(self, batch):
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        logits = self.network(unlabeled["weak"], training=True)["logits"]
        targets = self.targets(tf.stop_gradient(logits), unlabeled["index"])
        views = [unlabeled[view] for view in self.unlabeled_views]
        one_hot = tf.one_hot(labeled["label"], self.facts.num_classes)
        images, mixed_targets = in_step.mixed(
            self, [labeled["strong"], *views], [one_hot, *([targets] * len(views))]
        )
        shape = [targets.shape[0] * replicas.count()]
        key = in_step.key(self, "rotation")
        turns = replicas.own_rows(tf.random.stateless_uniform(shape, key, 0, TURNS, tf.int32))
        return {
            "targets": targets,
            "images": images,
            "mixed_targets": mixed_targets,
            "turns": turns,
            "turned": geometry.rotate90(unlabeled["strong"], turns),
        }

    def targets(self, logits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """float32 [U, C], what the weak views teach.

        Args:
            logits: float32 [U, C].
            index: int64 [U], rows of the pool.
        """
        weak = rebalance.Weak(logits, index, self.step, self.network, self.stage.steps)
        probabilities = self.refine(tf.nn.softmax(logits), weak, "predictions")
        if self.hyper.align_distribution:
            self.predicted.add(probabilities, self.step)
            probabilities = pseudo_labels.align_distribution(
                probabilities, self.facts.expected_in_pool, self.predicted.value()
            )
        sharp = pseudo_labels.sharpen(probabilities, self.hyper.temperature)
        return tf.stop_gradient(self.refine(sharp, weak, "targets"))

    def all_logits(self, prepared: dict, strong: tf.Tensor, rows: int) -> tuple[tf.Tensor, ...]:
        """Logits of the mixed images, rotation logits of the turned ones, logits of strong ones.

        float32 [M, C], [U, 4] and [U, C]; `strong` are images [U, H, W, Ch] in [0, 1], and of the
        M = K U + `rows` mixed ones the first `rows` are labeled.
        """
        parts = [prepared["images"], prepared["turned"], strong]
        if self.is_interleaved:
            mixed = in_step.forward_interleaved(self, parts[0], rows)
            turned, strong = (self.network(part, training=True) for part in parts[1:])
            return mixed, turned["rotation"], strong["logits"]
        outputs = self.network(tf.concat(parts, axis=0), training=True)
        mixed, turned, strong = in_step.split_outputs(outputs, parts)
        return mixed["logits"], turned["rotation"], strong["logits"]

    def loss_terms(self, batch, prepared):
        unlabeled = batch["unlabeled"]
        rows = batch["labeled"]["label"].shape[0]
        mixed, turned, strong = self.all_logits(prepared, unlabeled["strong"], rows)
        targets = prepared["mixed_targets"]
        each = self.weighted_loss(mixed[rows:], targets[rows:])
        confidence = in_step.count(self, prepared["targets"], each, unlabeled["index"])
        strong = self.weighted_loss(strong, prepared["targets"])
        turned = losses.cross_entropy(turned, prepared["turns"])
        ramp = in_step.ramp(self)
        return {
            "loss_labeled": self.labeled_loss(mixed[:rows], targets[:rows]),
            "loss_unlabeled": self.hyper.lambda_u * ramp * tf.reduce_mean(each),
            "loss_strong": self.hyper.strong_weight * ramp * tf.reduce_mean(strong),
            "loss_rotation": self.hyper.rotation_weight * tf.reduce_mean(turned),
        }, {"confidence": confidence}

    def weighted_loss(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """float32 [N], loss of each row against its soft target, float32 [N, C]."""
        class_weights = self.unlabeled_weights(tf.range(self.facts.num_classes))
        targets, size = mixup.weighted_shares(targets, class_weights)
        return size * self.unlabeled_loss(logits, targets)
