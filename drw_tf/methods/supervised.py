"""Cross-entropy on the labeled pictures alone."""

from drw_tf.methods import base


class Supervised(base.Method):
    """L = (1/B) sum_i w_{y_i} H(y_i, f(weak(x_i)))."""

    terms = ("loss_labeled",)
    # Not the unsupervised loss: a focal loss has a labeled side as well, which is read. Labeled
    # rows are rows of the pool, which is empty here.
    unread_seams = ("refine", "pseudo_target", "unlabeled_weights", "extra_terms", "labeled_rows")

    def loss_terms(self, batch, prepared):
        return self.labeled_terms(batch), {}
