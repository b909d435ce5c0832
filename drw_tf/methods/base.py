"""What all methods share: the one `train_step`, the averaged network, the epoch's end.

A method says which views it reads, which terms its loss has, and how a batch becomes
those terms. Everything else is here.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import alarm, batches, decay, ema, loss_scale, tally, undo
from drw_tf.models import heads as model_heads
from drw_tf.models import network as model_network
from drw_tf.ops import losses, mixup, reweighting
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import composition

Heads = dict[str, Callable[[], keras.layers.Layer]]
NetworkBuilder = Callable[[Heads], keras.Model]


@dataclasses.dataclass(frozen=True)
class Training:
    """How weights are averaged and decayed.

    Attributes:
        ema_decay: share of the old average kept each step, in [0, 1).
        ema_warmup: whether the average starts short.
        weight_decay: >= 0.
        weight_decay_kind: "l2" (gradient of kernels) or "decoupled" (the whole state
            shrinks by learning rate x weight_decay a step).
        on_nonfinite: "stop" or "skip"; under "skip" a step whose loss or gradient is not
            finite leaves all state as it was, but for the counts of steps and of such steps,
            and the random generators of a network that drops units, which have drawn.
    """

    ema_decay: float
    ema_warmup: bool
    weight_decay: float
    weight_decay_kind: str
    on_nonfinite: str = "stop"


class Method(keras.Model):
    """A recipe at work, to be trained by `fit`; its networks are what is called.

    Leaves override `labeled_views`, `unlabeled_views`, `terms`, `scalars` and `loss_terms`, some
    `prepare`.
    """

    labeled_views: tuple[str, ...] = ("weak",)
    unlabeled_views: tuple[str, ...] = ()
    # The labeled one is "loss_labeled": a stage of labeled pictures has that one alone.
    terms: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    # A rebalancer that does something at one of these seams is refused.
    unread_seams: tuple[str, ...] = ()
    # Whether XLA has all operations of the step.
    compilable: bool = True
    # Whether passes are made of interleaved rows: then batch statistics are of other rows where
    # there are more replicas.
    is_interleaved: bool = False

    def __init__(
        self,
        build_network: NetworkBuilder,
        hyper: rebalance.Hyperparameters,
        facts: rebalance.Facts,
        rebalancers: list[rebalance.Rebalancer],
        training: Training,
    ):
        """Builds both networks; call inside the strategy's scope.

        Args:
            build_network: makes a network with these heads, float32 [B, H, W, Ch] in [0, 1]
                to a dict with "features" [B, F] and each head's output, float32 [B, n].
            hyper: the method's own flags.
            facts: counts and lengths.
            rebalancers: in the order in which they are applied.
            training: averaging and decay.

        Raises:
            ValueError: no term is loss_labeled, a name is given twice, or a rebalancer does not go
                with the method or with another one.
        """
        super().__init__()
        if "loss_labeled" not in self.terms:
            raise ValueError(
                f"{type(self).__name__}.terms must hold loss_labeled, got {', '.join(self.terms)}."
            )
        self.hyper = hyper
        self.facts = facts
        self.training_rules = training
        self.rebalancers = rebalancers
        # Of the run's stages the one that is going on.
        self.stage = rebalance.Stage("training", facts.total_steps)
        self.stage_start = 0  # in steps of the run
        # Step of the stage -> learning rate, float32; None where the optimizer has one number.
        self.schedule = None
        self.evaluated_head = "logits"
        for one in rebalancers:
            rebalance.refuse_unread(one, self.unread_seams, type(self).__name__)
            if one.refines not in rebalance.REFINES:
                raise ValueError(
                    f"{type(one).__name__}.refines must be one of {', '.join(rebalance.REFINES)}, "
                    f"got {one.refines!r}."
                )
            one.attach(rebalancers)
            self.evaluated_head = one.evaluated_head or self.evaluated_head
        heads = self.all_heads()
        self.network = build_network(heads)
        self.ema_network = build_network(heads)
        self.ema_network.trainable = False
        # Named here to be in checkpoints: dropped units go on as they would have.
        self.random_generators = model_network.random_generators(self.network)
        self.average = ema.ExponentialMovingAverage(
            self.network, self.ema_network, training.ema_decay, training.ema_warmup
        )
        self.average.start()
        self._all_terms = (*self.terms, *(term for one in rebalancers for term in one.terms))
        logged = ("loss", *self._all_terms, *self.scalars)
        twice = sorted({name for name in logged if logged.count(name) > 1})
        if twice:
            raise ValueError(
                "loss, terms and scalars of a recipe must have names of their own, "
                f"got {', '.join(twice)} twice."
            )
        self.means = tally.Means(logged)
        self.alarm = alarm.Alarm(self._all_terms)
        self.histogram = None

    def _check_names(self, what: str, got: Mapping, declared: tuple[str, ...]) -> None:
        if set(got) != set(declared):
            raise ValueError(
                f"{type(self).__name__}.loss_terms must return the {what} {', '.join(declared)}, "
                f"got {', '.join(got)}."
            )

    def all_heads(self) -> Heads:
        """The method's heads, with those of the rebalancers added or put in their place."""
        heads = self.heads()
        for one in self.rebalancers:
            heads |= one.heads()
        return heads

    # ---- what a method is

    def heads(self) -> Heads:
        """The heads that the method itself needs."""
        return {"logits": lambda: model_heads.dense_head(self.facts.num_classes)}

    def prepare(self, batch: batches.Batch) -> dict[str, tf.Tensor]:
        """Targets that need no gradient; runs before the tape, keeps no activations."""
        return {}

    def loss_terms(self, batch: batches.Batch, prepared: dict) -> tuple[dict, dict]:
        """({term: scalar}, {scalar's name: value}) of one batch; the loss is the terms' sum."""
        raise NotImplementedError

    def labeled_terms(self, batch: batches.Batch) -> dict[str, tf.Tensor]:
        """{term: scalar} of the weak views of labeled pictures alone."""
        labeled = batch["labeled"]
        logits = self.network(labeled["weak"], training=True)["logits"]
        return {"loss_labeled": self.labeled_loss(logits, labeled["label"])}

    # ---- seams, composed over the rebalancers

    @property
    def heard(self) -> list[rebalance.Rebalancer]:
        """Those that act in this stage."""
        if self.stage.heard == "all":
            return self.rebalancers
        is_own = self.stage.heard == "own"
        return [one for one in self.rebalancers if rebalance.overridden(one, "stages") == is_own]

    def labeled_loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Scalar, weighted loss over the labeled batch (Eq. 9, first term).

        Labels are int32 [B], or mixed ones, float32 [B, C]: then each share of a row carries
        the weight of its class.
        """
        is_mixed = labels.dtype.is_floating
        classes = tf.range(self.facts.num_classes) if is_mixed else labels
        weights = composition.product(one.labeled_weights(classes) for one in self.heard)
        if is_mixed and weights is not None:
            labels, weights = mixup.weighted_shares(labels, weights)
        each = composition.only(
            "the labeled loss", (one.supervised_loss(logits, labels) for one in self.heard)
        )
        if each is None:
            each = losses.cross_entropy(logits, labels)
        if weights is None:
            return tf.reduce_mean(each)
        return reweighting.weighted_labeled_loss(each, weights)

    def unlabeled_loss(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """float32 [U], unweighted loss of each unlabeled picture."""
        each = composition.only(
            "the unlabeled loss",
            (one.unsupervised_loss(logits, targets) for one in self.heard),
        )
        return losses.cross_entropy(logits, targets) if each is None else each

    def unlabeled_weights(self, pseudo_label: tf.Tensor) -> tf.Tensor:
        """float32 [U], product of what the rebalancers say, or ones."""
        given = [one.unlabeled_weights(pseudo_label) for one in self.heard]
        weights = composition.product(given)
        return tf.ones(tf.shape(pseudo_label), tf.float32) if weights is None else weights

    def refine(
        self, probabilities: tf.Tensor, weak: rebalance.Weak, what: str | None = None
    ) -> tf.Tensor:
        """float32 [U, C], after every rebalancer in turn, or those that refine `what`."""
        for one in self.heard:
            if what in (None, one.refines):
                probabilities = one.refine(probabilities, weak)
        return probabilities

    def extra_terms(self, outputs: rebalance.Outputs) -> dict[str, tf.Tensor]:
        """Scalars that the rebalancers add to the loss."""
        return composition.merged(one.extra_terms(outputs) for one in self.heard)

    def adjust(self, logits: np.ndarray, network: keras.Model) -> np.ndarray:
        """[N, C], logits as they are judged at test time, float64 where `adjusts`."""
        for one in self.rebalancers:
            logits = one.adjust(logits, network)
        return logits

    @property
    def adjusts(self) -> bool:
        """Whether test-time logits differ from the network's."""
        return any(rebalance.overridden(one, "adjust") for one in self.rebalancers)

    def stages(self, steps: int) -> list[rebalance.Stage]:
        """The parts of a run of this many steps."""
        offered = [found for one in self.rebalancers if (found := one.stages(steps))]
        if len(offered) > 1:
            raise ValueError("two rebalancers divide the run into stages; a recipe may hold one.")
        return offered[0] if offered else [rebalance.Stage("training", steps)]

    @property
    def step(self) -> tf.Tensor:
        """int64 scalar, steps of this stage that are done."""
        return self.optimizer.iterations if self.optimizer else tf.constant(0, tf.int64)

    def learning_rate_at(self, step: tf.Tensor) -> tf.Tensor:
        """float32 scalar, of this step of the stage; int64 scalar, >= 0."""
        if self.schedule is None:
            return tf.cast(self.optimizer.learning_rate, tf.float32)
        # The optimizer's own attribute is the rate of the last step that was applied.
        return self.schedule(step)

    def freeze_all_but_logits(self) -> None:
        """Leaves only that head to be trained; batch statistics stand still as well."""
        for layer in self.network.layers:
            layer.trainable = layer.name == "logits"

    # ---- Keras

    def reset_metrics(self):
        """Does nothing: `fit` calls it whenever it starts, which may be inside an epoch."""

    def make_train_function(self, force=False):
        """One call of it makes `steps_per_execution` steps, of which one is traced.

        Keras's own function for several steps traces the step twice, as AutoGraph looks at the
        body of a loop before it makes the loop.
        """
        steps = self._steps_per_execution
        each = int(steps.numpy())
        is_made = self.train_function is not None and not force
        if is_made or each == 1 or self.run_eagerly:
            return super().make_train_function(force)
        steps.assign(1)
        one = super().make_train_function(force)
        steps.assign(each)

        @tf.function(autograph=False)
        def several(iterator):
            # Where fewer are left of an epoch, Keras says so through the variable.
            count = tf.identity(steps)
            _, loss = tf.while_loop(
                lambda done, _: done < count,
                # What `one` was made of, so that the graph is that of Keras's loop.
                lambda done, _: (done + 1, one.python_function(iterator)["loss"]),
                (tf.constant(0, count.dtype), tf.constant(0.0)),
            )
            return {"loss": loss}

        self.train_tf_function = self.train_function = several
        return several

    # Converting what has no Python control flow takes longer than tracing it.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch):
        batch = batches.to_float(batch)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        rules = self.training_rules
        labeled_only = self.stage.labeled_only
        trial = undo.Undo(
            self.undone_variables(),
            [] if labeled_only else self.undone_banks(),
            batch.get("unlabeled", {}).get("index"),
        )
        prepared = {} if labeled_only else self.prepare(batch)
        with tf.GradientTape() as tape:
            if labeled_only:
                none = tf.constant(0.0)
                terms = dict.fromkeys(self._all_terms, none) | self.labeled_terms(batch)
                scalars = dict.fromkeys(self.scalars, none)
            else:
                terms, scalars = self.loss_terms(batch, prepared)
            self._check_names("terms", terms, self._all_terms)
            self._check_names("scalars", scalars, self.scalars)
            loss = tf.add_n(list(terms.values()))
            # Gradients are summed over replicas; each replica's loss is a mean over its rows.
            scaled = loss / replicas
        variables = self.network.trainable_variables
        gradients = loss_scale.gradients(tape, self.optimizer, scaled, variables)
        before = tf.identity(self.step)
        rate = self.learning_rate_at(before)
        forgiven = loss_scale.may_overflow(self.optimizer)
        watched = [terms[name] for name in self._all_terms]
        done = before + self.stage_start
        bad, dropped = self.alarm.watch(watched, gradients, done, rate, forgiven)
        gradients = [tf.where(bad, tf.zeros_like(one), one) for one in gradients]
        shrink = None
        if rules.weight_decay and rules.weight_decay_kind == "l2":
            gradients = decay.add_l2(gradients, variables, rules.weight_decay / replicas)
        elif rules.weight_decay:
            shrink = tf.where(dropped, 0.0, rate * rules.weight_decay)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.average.update(before, shrink)
        shown = self.means.add({"loss": loss, **terms, **scalars})
        trial.where(bad)
        return {"loss": shown}

    def undone_variables(self) -> list[tf.Variable]:
        """All that a step may change and a skipped step must not; its number counts on.

        But for `undone_banks`.
        """
        if self.training_rules.on_nonfinite != "skip":
            return []
        left = [self.optimizer.iterations, *self.alarm.variables, *self.undone_banks()]
        left = {id(one) for one in left}
        state = [*self.variables, *self.optimizer.variables]
        state += loss_scale.variables(self.optimizer)
        return [one for one in state if id(one) not in left]

    def undone_banks(self) -> list[tf.Variable]:
        """Those of which a step changes the rows of its batch, and a skipped step must not."""
        if self.training_rules.on_nonfinite != "skip":
            return []
        found = [bank for one in self.rebalancers for bank in one.banks()]
        if self.histogram is not None and self.histogram.bank is not None:
            found.append(self.histogram.bank)
        return found

    # ---- the end of an epoch, outside of the graph

    def end_epoch(self, step: int) -> dict:
        """Closes the epoch: tells the rebalancers, returns what is worth logging, starts anew.

        Args:
            step: steps done so far.

        Returns:
            "train": means of losses and scalars; for methods with pseudo-labels, in a stage that
            learns from unlabeled pictures, also
            "pseudo_numbers" [C] and "pseudo_imbalance_ratio", but not where all steps were
            skipped and none was counted, "unlabeled_loss_by_class" [C] and what
            `tally.PseudoLabelHistogram.quality` gives;
            the weights [C] that the epoch was trained with;
            what rebalancers that adjust logits say, as the epoch's evaluation uses it.
        """
        entry = {"train": self.means.result(), **self._described(adjusting=False)}
        numbers = None
        if self.stage.labeled_only:
            shown = ("loss", "loss_labeled")
            entry["train"] = {k: mean for k, mean in entry["train"].items() if k in shown}
        elif self.histogram is not None:
            # Without a threshold there is no choice of which pseudo-labels count.
            which = getattr(self.hyper, "pseudo_count", "all")
            counted, rows = self.histogram.numbers(which)
            if rows:  # else the numbers would be uniform, and weights and priors with them
                numbers = np.asarray(
                    reweighting.pseudo_numbers(counted, rows, self.facts.pool_size), np.float64
                )
                entry["pseudo_numbers"] = numbers.tolist()
                entry["pseudo_imbalance_ratio"] = float(reweighting.imbalance_ratio(numbers))
            entry["unlabeled_loss_by_class"] = self.histogram.loss_by_class().tolist()
            quality = self.histogram.quality(hasattr(self.hyper, "threshold"))
            # Four digits: of each class in each epoch, more would only fill the record.
            entry |= {name: np.round(share, 4).tolist() for name, share in quality.items()}
            self.histogram.reset()
        for one in self.heard:
            one.end_epoch(rebalance.Observation(step, numbers))
        self.means.reset()
        # The evaluation that follows reads what `end_epoch` has just set.
        return composition.merged([entry, self._described(adjusting=True)])

    def _described(self, adjusting: bool) -> dict:
        """Lists by name, of the rebalancers that adjust logits at test time, or of the others."""
        # What logits are adjusted by counts in every stage.
        found = composition.merged(
            one.describe()
            for one in (self.rebalancers if adjusting else self.heard)
            if rebalance.overridden(one, "adjust") == adjusting
        )
        return {name: np.asarray(value).tolist() for name, value in found.items()}
