import numpy as np
from drw_tf.data import dataset, seeds
def draw_split(labels, num_classes, *, labeled_counts, unlabeled_counts, seed, validation_per_class=0):
    l,u=[],[]
    for c in range(num_classes):
        rows=np.flatnonzero(labels==c)
        if seed: rows=np.random.default_rng([seeds.seed_for(seed,"split"),c]).permutation(rows)
        l.append(rows[:labeled_counts[c]]); u.append(rows[labeled_counts[c]:labeled_counts[c]+unlabeled_counts[c]])
    return dataset.Split(np.concatenate(l),np.concatenate(u),np.arange(0))
