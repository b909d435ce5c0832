import numpy as np
import pytest

from drw_tf.report import paper_figures


def test_figure_1_sums_the_unlabeled_loss_of_each_class_over_the_run(make_record):
    records = [make_record("fixmatch"), make_record("drw")]
    (axes,) = paper_figures.unlabeled_losses(records).axes
    # 10 * (C - c) at each of 4 evaluations.
    for container in axes.containers:
        assert [bar.get_height() for bar in container] == [160, 120, 80, 40]
    assert axes.get_ylabel() == "summed unlabeled loss (nats)"
    assert axes.get_ylim()[0] == 0


def test_figure_2_shows_pseudo_numbers_and_their_ratio(make_record):
    made = paper_figures.pseudo_dynamics([make_record("fixmatch"), make_record()])
    left, right = made.axes[:2]
    assert left.lines[3].get_ydata().tolist() == pytest.approx([100.5, 101.0, 101.5, 102.0])
    # 5 + step / 50.
    assert right.lines[0].get_xydata().tolist() == [[50, 6], [100, 7], [150, 8], [200, 9]]
    assert "largest / smallest" in right.get_ylabel()


def test_figure_2_of_a_run_without_pseudo_labels_is_refused(make_record):
    record = make_record("fixmatch")
    for entry in record["history"]:
        del entry["pseudo_imbalance_ratio"]
    with pytest.raises(ValueError, match="fixmatch must have pseudo_imbalance_ratio"):
        paper_figures.pseudo_dynamics([record])


def test_figure_3_shows_the_class_balanced_term():
    (axes,) = paper_figures.class_balanced_terms().axes
    flat, steep, *_ = axes.lines
    np.testing.assert_allclose(flat.get_ydata(), 1.0, rtol=1e-6)
    counts = steep.get_xdata()
    assert (counts[0], counts[-1]) == pytest.approx((1, 5000))
    np.testing.assert_allclose(steep.get_ydata(), 0.1 / (1 - 0.9**counts), rtol=1e-6)
    # The limit of many images is 1 - beta.
    assert steep.get_ydata()[-1] == pytest.approx(0.1, rel=1e-4)
    labels = [f"β = {beta}" for beta in ("0", "0.9", "0.99", "0.995", "0.999", "0.9999")]
    assert [line.get_label() for line in axes.lines] == labels


def test_figure_4_shows_means_with_deviations_at_equal_distances():
    results = {"R = 50": {0.99: [0.5, 0.7], 0.999: [0.8, 0.8]}, "R = 100": {0.9: [0.4]}}
    (axes,) = paper_figures.beta_study(results, "CIFAR-10").axes
    first, second = axes.containers
    assert first.lines[0].get_xydata().tolist() == [[1, 0.6], [2, 0.8]]
    assert second.lines[0].get_xydata().tolist() == [[0, 0.4]]
    # Standard deviation of .5 and .7 with n - 1: sqrt(.02).
    segment = first.lines[2][0].get_segments()[0]
    assert segment[:, 1].tolist() == pytest.approx([0.6 - 0.02**0.5, 0.6 + 0.02**0.5])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.9", "0.99", "0.999"]


def test_figure_5_shows_losses_and_accuracy_with_the_start_marked(make_record):
    made = paper_figures.losses([make_record("fixmatch"), make_record("drw")])
    training, test, accuracy = made.axes
    assert [line.get_label() for line in training.lines] == [
        "fixmatch, labeled",
        "fixmatch, unlabeled",
        "drw, labeled",
        "drw, unlabeled",
        "dynamic weights start",
    ]
    steps = np.array([50, 100, 150, 200])
    np.testing.assert_allclose(training.lines[0].get_ydata(), 1.5 / steps)
    np.testing.assert_allclose(training.lines[1].get_ydata(), 0.5 / steps)
    np.testing.assert_allclose(test.lines[1].get_ydata(), 1 / steps)
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), 0.3125 + steps / 10000)
    for axes in made.axes:
        assert axes.lines[-1].get_xdata() == [100, 100]
    # Names stand above the lines, not on them.
    made.draw_without_rendering()
    for axes in made.axes:
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_figure_5_of_runs_without_dynamic_weights_marks_nothing(make_record):
    record = make_record("fixmatch")
    for entry in record["history"]:
        del entry["train"]["loss_unlabeled"]
    training, test, _ = paper_figures.losses([record], ["supervised"]).axes
    assert [line.get_label() for line in training.lines] == ["supervised, labeled"]
    assert len(test.lines) == 1


def test_figure_5_marks_every_start(make_record):
    records = [make_record("drw", reweight_start=share) for share in (0.25, 0.75)]
    made = paper_figures.losses(records)
    marks = [line.get_xdata()[0] for line in made.axes[0].lines[-2:]]
    assert marks == [50, 150]
