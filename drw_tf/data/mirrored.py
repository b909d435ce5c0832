"""Which sets of TensorFlow Datasets may be mirrored. No imports: flags are checked by it, too."""

# Sets of digits, letters and signs: mirrored, a picture is of another class or of none.
_CHARACTERS = "binary_alpha_digits cmaterdb emnist kmnist mnist mnist_corrupted omniglot"
# The last two are configurations of visual_domain_decathlon, as omniglot is.
NOT_MIRRORED = frozenset([*_CHARACTERS.split(), "svhn_cropped", "svhn", "gtsrb"])
