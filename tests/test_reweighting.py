"""The object for a `train_step` of one's own, and the program that shows it."""

import importlib.util
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import reweighting
from drw_tf.ops import pseudo_labels

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "own_train_step.py"


def make(**changed):
    values = {"beta": 0.5, "reweight_start": 0.5, "threshold": 0.8, "epochs": 4, "pool_size": 6}
    values.update(changed)
    return reweighting.DynamicReweighting([1, 2], **values)


# Sure of class 0, sure of class 1, unsure (0.73 < 0.8) of class 1.
WEAK = tf.constant([[5.0, 0.0], [0.0, 5.0], [0.0, 1.0]])


@pytest.mark.parametrize("kind", [tf.int32, tf.int64, tf.uint8])
def test_labeled_rows_weigh_by_the_effective_number_of_their_class(kind):
    # E = 1, 1 + 1/2: weights 1 and 2/3, times 2 / (5/3): 1.2 and 0.8.
    balance = make()
    np.testing.assert_allclose(balance.labeled_weights, [1.2, 0.8], rtol=1e-6)
    loss = balance.labeled_loss(tf.zeros([4, 2]), tf.constant([0, 1, 1, 1], kind))
    assert float(loss) == pytest.approx(math.log(2) * (1.2 + 3 * 0.8) / 4)


def test_only_confident_rows_teach_and_all_of_them_count():
    balance = make()
    loss = balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    assert float(loss) == pytest.approx(math.log(2) * 2 / 3)
    # Labels 0, 1, 1 of three rows, scaled to a pool of six.
    np.testing.assert_allclose(balance.end_epoch(), [2.0, 4.0])
    np.testing.assert_allclose(balance.pseudo_numbers, [2.0, 4.0])


def test_weights_begin_at_the_start_and_follow_each_epochs_own_labels():
    balance = make()
    balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    balance.end_epoch()  # the first of four epochs: the start is after two
    np.testing.assert_array_equal(balance.unlabeled_weights, [1.0, 1.0])
    balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    balance.end_epoch()
    # E = 1.5 and 1 + 1/2 + 1/4 + 1/8 = 1.875: weights 10/9 and 8/9.
    np.testing.assert_allclose(balance.unlabeled_weights, [10 / 9, 8 / 9], rtol=1e-6)
    loss = balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    assert float(loss) == pytest.approx(math.log(2) * (10 / 9 + 8 / 9) / 3)
    balance.unlabeled_loss(WEAK[:1], tf.zeros([1, 2]))
    np.testing.assert_allclose(balance.end_epoch(), [3.0, 3.0])  # 2 and 2 of four rows


@pytest.mark.parametrize(
    ("epochs", "start", "first"),
    # 1.2 and 4.4 epochs are not over before the 2nd and the 5th; .4 * 5 and .1 * 30 (which is
    # above 3 in floating point) are whole numbers.
    [(3, 0.4, 2), (11, 0.4, 5), (5, 0.4, 2), (30, 0.1, 3), (30, 2 / 3, 20), (4, 0.9, 4)],
)
def test_weights_begin_at_the_first_end_of_an_epoch_that_is_not_before_the_start(
    epochs, start, first
):
    balance = make(epochs=epochs, reweight_start=start)
    for epoch in range(1, first + 1):
        balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
        balance.end_epoch()
        begun = bool((balance.unlabeled_weights != 1).any())
        assert begun == (epoch == first), epoch


def test_the_ratio_of_weights_may_be_bounded_and_pseudo_numbers_smoothed():
    # 1/E is 1 and 2/3; at most 5/4 of it 5/6 and 2/3, sum 3/2.
    balance = make(reweight_start=0.0, max_weight_ratio=1.25, pseudo_smoothing=0.5)
    np.testing.assert_allclose(balance.labeled_weights, [10 / 9, 8 / 9], rtol=1e-6)
    balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    balance.end_epoch()  # 2 and 4: 1/E is 2/3 and 8/15, a ratio of 5/4
    np.testing.assert_allclose(balance.unlabeled_weights, [10 / 9, 8 / 9], rtol=1e-6)
    balance.unlabeled_loss(WEAK[:1], tf.zeros([1, 2]))
    np.testing.assert_allclose(balance.end_epoch(), [6.0, 1.0])
    # Means 4 and 2.5: E is 15/8 and 2 - 2 ** -1.5.
    raw = np.array([8 / 15, 1 / (2 - 2**-1.5)])
    np.testing.assert_allclose(balance.unlabeled_weights, 2 * raw / raw.sum(), rtol=1e-6)


def test_an_epoch_that_counted_nothing_leaves_weights_and_numbers():
    balance = make(reweight_start=0.5)
    assert balance.end_epoch() is None
    balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    balance.end_epoch()
    weights = balance.unlabeled_weights
    np.testing.assert_allclose(weights, [10 / 9, 8 / 9], rtol=1e-6)  # the second epoch of four
    np.testing.assert_allclose(balance.end_epoch(), [2.0, 4.0])
    np.testing.assert_array_equal(balance.unlabeled_weights, weights)
    np.testing.assert_allclose(balance.pseudo_numbers, [2.0, 4.0])


def test_confidence_is_compared_in_float32_whatever_the_network_computes_in():
    # Its probability is .9504, which no bfloat16 is: the nearest one is below .95.
    weak = tf.constant([[2.953125, 0.0]], tf.bfloat16)
    loss = make(threshold=0.95).unlabeled_loss(weak, tf.zeros([1, 2], tf.bfloat16))
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(math.log(2))


def test_no_gradient_goes_through_the_weak_views(monkeypatch):
    def soft_mask(probabilities, threshold):
        # A hard mask has no derivative, whether or not it is stopped before.
        label = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        confidence = tf.reduce_max(probabilities, axis=-1)
        mask = tf.where(confidence >= threshold, confidence, 0.0)
        return pseudo_labels.HardPseudoLabels(label, confidence, mask)

    monkeypatch.setattr(pseudo_labels, "hard_pseudo_labels", soft_mask)
    balance, weak, strong = make(), tf.Variable(WEAK), tf.Variable(tf.zeros([3, 2]))
    with tf.GradientTape() as tape:
        loss = balance.unlabeled_loss(weak, strong)
    of_weak, of_strong = tape.gradient(loss, [weak, strong])
    assert of_weak is None
    np.testing.assert_allclose(of_strong[2], [0.0, 0.0])
    sure = 1 / (1 + math.exp(-5))
    assert float(of_strong[0, 0]) == pytest.approx(-0.5 * sure / 3)


def test_its_state_is_in_the_checkpoint_of_a_model(tmp_path):
    def model():
        made = keras.Sequential([keras.layers.Dense(2)])
        made.balance = make(reweight_start=0.0)
        return made

    first, second = model(), model()
    first.balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    first.balance.end_epoch()
    first.balance.unlabeled_loss(WEAK[:1], tf.zeros([1, 2]))
    path = tf.train.Checkpoint(first).write(str(tmp_path / "state"))
    tf.train.Checkpoint(second).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(second.balance.unlabeled_weights, first.balance.unlabeled_weights)
    np.testing.assert_array_equal(second.balance.end_epoch(), first.balance.end_epoch())


class Functional(keras.Model):
    """Of two branches, with the object as an attribute."""


class Subclassed(keras.Model):
    """The same of one layer; pictures are logits."""

    def __init__(self):
        super().__init__()
        self.network = keras.layers.Dense(2)

    def call(self, inputs, training=False):
        return self.network(inputs)

    def train_step(self, weak):
        return {"loss": self.balance.unlabeled_loss(weak, self(weak, training=True))}


def functional():
    inputs = keras.Input([2])
    wide = keras.layers.Dense(2)(inputs)
    return Functional(inputs, keras.layers.Add()([wide, inputs]))


def after_an_epoch(model):
    model.balance = make(reweight_start=0.0)
    model(WEAK)
    model.balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    model.balance.end_epoch()
    return model


@pytest.mark.parametrize("build", [Subclassed, functional])
def test_its_state_is_in_files_of_weights(tmp_path, build):
    first, second = after_an_epoch(build()), build()
    second.balance = make(reweight_start=0.0)
    second(WEAK)
    for name in ("own.h5", "own.weights.h5"):
        first.save_weights(str(tmp_path / name))
        second.load_weights(str(tmp_path / name))
        np.testing.assert_array_equal(
            second.balance.unlabeled_weights, first.balance.unlabeled_weights
        )
        np.testing.assert_array_equal(second.balance.pseudo_numbers, [2.0, 4.0])
        second.balance._numbers.assign([0.0, 0.0])
        second.balance._unlabeled.class_weights.assign([1.0, 1.0])


def test_its_state_is_read_from_files_of_weights_by_replicas(tmp_path, two_replicas):
    first = after_an_epoch(Subclassed())
    first.balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))  # of an epoch that has not ended
    with two_replicas.scope():
        second = Subclassed()
        second.balance = make(reweight_start=0.0)
        second.build([None, 2])
    for name in ("own.h5", "own.weights.h5"):
        first.save_weights(str(tmp_path / name))
        second.load_weights(str(tmp_path / name))
        assert second.balance._histogram.numbers("all")[0].tolist() == [1, 2]
        second.balance._histogram.reset()


def test_a_functional_model_with_it_is_summed_up_and_saved_whole(tmp_path):
    model = after_an_epoch(functional())
    lines = []
    model.summary(print_fn=lines.append)
    assert any("dynamic_reweighting" in line for line in lines)
    model.save(tmp_path / "own.keras")
    model.save(tmp_path / "own", save_format="tf")
    loaded = keras.models.load_model(
        tmp_path / "own.keras", custom_objects={"Functional": Functional}
    )
    np.testing.assert_allclose(loaded(WEAK), model(WEAK))
    found = loaded.get_layer("dynamic_reweighting")
    np.testing.assert_array_equal(found.pseudo_numbers, [2.0, 4.0])
    np.testing.assert_array_equal(found.unlabeled_weights, model.balance.unlabeled_weights)
    again = reweighting.DynamicReweighting.from_config(model.balance.get_config())
    assert again.get_config() == model.balance.get_config()
    np.testing.assert_array_equal(again.labeled_weights, model.balance.labeled_weights)


def with_two(model):
    model.balance = make(reweight_start=0.0)
    model.balance_of_parts = make(reweight_start=0.0, name="reweighting_of_parts")
    model(WEAK)
    return model


def after_an_epoch_of_each(model):
    model.balance.unlabeled_loss(WEAK, tf.zeros([3, 2]))
    model.balance_of_parts.unlabeled_loss(WEAK[:1], tf.zeros([1, 2]))
    model.balance.end_epoch()
    model.balance_of_parts.end_epoch()
    return model


# Numbers 2 and 4: E is 3/2 and 15/8. 6 and 1: E is 63/32 and 1.
WEIGHTS_OF_TWO = ([10 / 9, 8 / 9], [64 / 95, 126 / 95])


def test_two_in_one_model_are_saved_under_their_own_names(tmp_path):
    first, second = after_an_epoch_of_each(with_two(Subclassed())), with_two(Subclassed())
    first.save_weights(str(tmp_path / "own.h5"))
    second.load_weights(str(tmp_path / "own.h5"))
    for one, weights in zip((second.balance, second.balance_of_parts), WEIGHTS_OF_TWO, strict=True):
        np.testing.assert_allclose(one.unlabeled_weights, weights, rtol=1e-6, err_msg=one.name)


def test_two_in_a_functional_model_that_is_saved_whole_are_both_found(tmp_path):
    after_an_epoch_of_each(with_two(functional())).save(tmp_path / "own.keras")
    loaded = keras.models.load_model(
        tmp_path / "own.keras", custom_objects={"Functional": Functional}
    )
    names = ("dynamic_reweighting", "reweighting_of_parts")
    for name, weights in zip(names, WEIGHTS_OF_TWO, strict=True):
        found = loaded.get_layer(name)
        np.testing.assert_allclose(found.unlabeled_weights, weights, rtol=1e-6, err_msg=name)


def test_an_epoch_whose_end_was_never_told_is_closed_before_the_next(tmp_path):
    """What `BackupAndRestore` with a `save_freq` saves at an epoch's last batch."""

    class Killed(Exception):
        pass

    def fit(kill, save_freq, first):
        model = Subclassed()
        model.balance = make(reweight_start=0.0)
        model.compile()

        def end(batch, logs):
            if kill and model.balance.pseudo_numbers is not None:
                raise Killed

        model.fit(
            tf.data.Dataset.from_tensors(WEAK).repeat(),
            steps_per_epoch=2,
            initial_epoch=first,
            epochs=first + 3,
            callbacks=[
                model.balance.callback(),
                keras.callbacks.BackupAndRestore(str(tmp_path), save_freq=save_freq),
                keras.callbacks.LambdaCallback(on_batch_end=end),
            ],
            verbose=0,
        )
        return model.balance

    # Killed in the second epoch, of which nothing was saved, or its first batch.
    for save_freq, first in ((2, 0), (1, 5)):
        with pytest.raises(Killed):
            fit(True, save_freq, first)
        resumed, whole = (fit(False, save_freq, first) for _ in range(2))
        assert int(resumed._epochs_done) == int(whole._epochs_done) == 3
        np.testing.assert_array_equal(resumed.unlabeled_weights, whole.unlabeled_weights)
        np.testing.assert_array_equal(resumed.pseudo_numbers, whole.pseudo_numbers)


def test_a_replica_without_rows_adds_nothing():
    balance = make()
    nothing = tf.zeros([0, 2])
    assert float(balance.labeled_loss(nothing, tf.zeros([0], tf.int32))) == 0
    assert float(balance.unlabeled_loss(nothing, nothing)) == 0


@pytest.mark.parametrize(
    ("labels", "got"),
    [([[1.0, 0.0], [0.0, 1.0]], r"float32 \(2, 2\)"), ([1.0, 0.0], r"float32 \(2,\)")],
)
def test_labels_are_whole_numbers(labels, got):
    with pytest.raises(ValueError, match=rf"^labels must be integers \[B\], got {got}\.$"):
        make().labeled_loss(tf.zeros([2, 2]), tf.constant(labels))


def test_two_replicas_count_together(two_replicas):
    with two_replicas.scope():
        balance = make(reweight_start=0.0)

    @tf.function
    def step(weak):
        return two_replicas.run(lambda one: balance.unlabeled_loss(one, tf.zeros_like(one)), [weak])

    values = two_replicas.experimental_distribute_values_from_function(
        lambda context: WEAK[:1] if context.replica_id_in_sync_group else WEAK[1:]
    )
    step(values)
    np.testing.assert_allclose(balance.end_epoch(), [2.0, 4.0])


def test_a_step_is_that_of_the_whole_batch_however_many_replicas_share_it(two_replicas):
    rows = np.asarray([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 1.0]])
    labels = np.asarray([0, 1, 1, 1])
    weak = tf.concat([WEAK, WEAK[:1]], axis=0)  # labels 0, 1, none, 0

    def kernel_after_a_step(strategy, parts):
        with strategy.scope():
            balance, kernel = make(), tf.Variable(tf.zeros([2, 2]))
            optimizer = keras.optimizers.SGD(1.0, jit_compile=False)

        def step(own):
            with tf.GradientTape() as tape:
                logits = tf.gather(tf.constant(rows, tf.float32), own) @ kernel
                loss = balance.labeled_loss(logits, tf.gather(labels, own))
                loss += balance.unlabeled_loss(tf.gather(weak, own), logits)
            optimizer.apply_gradients([(tape.gradient(loss, kernel), kernel)])

        own = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )
        tf.function(lambda each: strategy.run(step, args=(each,)))(own)
        return kernel.numpy()

    # Equal logits: the gradient of a row's cross-entropy is -1/2 at its label, 1/2 at the other.
    sign = np.asarray([[-0.5, 0.5], [0.5, -0.5]])
    labeled = np.asarray([1.2, 0.8])[labels, None] * sign[labels]
    unlabeled = np.asarray([1, 1, 0, 1])[:, None] * sign[[0, 1, 1, 0]]
    expected = -rows.T @ (labeled + unlabeled) / 4
    alone = kernel_after_a_step(tf.distribute.get_strategy(), [[0, 1, 2, 3]])
    np.testing.assert_allclose(alone, expected, atol=1e-6)
    shared = kernel_after_a_step(two_replicas, [[0, 1], [2, 3]])
    np.testing.assert_allclose(shared, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"beta": 1.0}, "beta must be in"),
        ({"beta": "mean"}, r"beta must be a number in \[0, 1\), auto, auto_mean or literal, got"),
        ({"beta": None}, "beta must be a number in .*, got None"),
        ({"reweight_start": 1.0}, "reweight_start must be in"),
        ({"pool_size": 0}, "pool_size and epochs must be >= 1"),
        ({"epochs": 0}, "pool_size and epochs must be >= 1"),
        ({"weight_normalization": "sum"}, "normalization must be one of"),
        ({"max_weight_ratio": 0.5}, "max_weight_ratio must be 0 or >= 1, got 0.5"),
        ({"pseudo_smoothing": 1.0}, "pseudo_smoothing must be in"),
        ({"threshold": 95}, r"threshold must be in \[0, 1\], got 95"),
    ],
)
def test_values_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        make(**changed)


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="labeled_counts must be"):
        reweighting.DynamicReweighting([3, 0], 10, 5)


def test_the_example_trains_and_its_weights_move():
    spec = importlib.util.spec_from_file_location("own_train_step", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    model, recall = example.main(epochs=5)
    assert recall > 0.4  # a guess has 0.1
    weights = model.balance.unlabeled_weights
    assert weights.sum() == pytest.approx(10, rel=1e-5)
    assert weights.max() > 1.5 * weights.min()
    assert model.balance.pseudo_numbers.sum() >= 269 - 1e-3
