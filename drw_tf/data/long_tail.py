import numpy as np
def class_counts(num_classes, n_max, ratio, order="same"):
    mu = (1/ratio)**(1/(num_classes-1))
    n=[int(n_max*mu**c) for c in range(num_classes-1)]+[int(n_max/ratio)]
    n=np.array(n)
    return n if order=="same" else n[::-1] if order=="reversed" else np.full(num_classes, n_max)
