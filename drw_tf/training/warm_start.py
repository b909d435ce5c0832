"""The averaged network of an earlier run as what another one begins with."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras
from tensorflow.core.protobuf import trackable_object_graph_pb2

from drw_tf.models import weights
from drw_tf.training import checkpoint, messages

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Where a method has its averaged network, in a checkpoint of `checkpoint.Checkpoints`.
_PLACE = ("model", "ema_network")
_LAYER = "layer_with_weights-"


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What is taken from which checkpoint.

    Attributes:
        checkpoint: folder of a checkpoint of the earlier run.
        takes_heads: whether its heads are taken too, as far as they are like those here; they
            answer for its classes.
        built_with: "imagenet" where the earlier run began with Keras's weights, which change the
            layers that Keras makes of some networks; else "none".
    """

    checkpoint: str
    takes_heads: bool
    built_with: str

    def facts(self) -> dict:
        """Its attributes, JSON-serialisable."""
        return dataclasses.asdict(self)

    def set_weights(self, network: keras.Model, heads: Mapping[str, keras.layers.Layer]) -> None:
        """Gives a network the weights and batch statistics of the earlier one.

        Args:
            network: of `models.network.build_network`, with a backbone like the earlier one's.
            heads: its heads by their names. One that the earlier network has not, or in another
                form, keeps its weights.

        Raises:
            weights.WeightsError: the checkpoint is gone or damaged, or is of another backbone.
        """
        self.require_still_there("the run starts from it")
        folder = pathlib.Path(self.checkpoint)
        problem = checkpoint.damage(folder)
        if problem:
            raise weights.WeightsError(f"--init_weights: {folder} is damaged ({problem}).")
        prefix = str(folder / "variables")
        reader = tf.train.load_checkpoint(prefix)
        with_weights = [layer for layer in network.layers if layer.weights]
        # Heads are the last layers, so that those below have the same numbers whatever they are.
        below = [layer for layer in with_weights if layer.name not in heads]
        taken = dict(enumerate(below))
        if self.takes_heads:
            earlier = _named_layers(reader)
            for name, layer in heads.items():
                number, shapes = earlier.get(name, (None, None))
                if shapes == _shapes({one.name: one.shape for one in layer.weights}):
                    taken[number] = layer
        part = tf.Module()
        for number, layer in taken.items():
            setattr(part, f"{_LAYER}{number}", layer)
        whole = part
        for name in reversed(_PLACE):
            above = tf.Module()
            setattr(above, name, whole)
            whole = above
        try:
            # Partial: the rest of the checkpoint is not wanted, of which TensorFlow would warn.
            read = tf.train.Checkpoint(root=whole).read(prefix).expect_partial()
            read.assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise weights.WeightsError(
                f"--init_weights: {folder} does not fit {network.name}: {messages.one_line(error)}"
            ) from None

    def require_still_there(self, why: str) -> None:
        """Nothing; a checkpoint that is gone since it was read is refused before it is needed.

        Args:
            why: it is needed, the end of a sentence.

        Raises:
            weights.WeightsError: it is not there.
        """
        if not pathlib.Path(self.checkpoint).is_dir():
            raise weights.WeightsError(
                f"--init_weights: there is no checkpoint {self.checkpoint} any more; {why}."
            )

    @property
    def line(self) -> str:
        """For the user, what the run starts from."""
        heads = "its heads too" if self.takes_heads else "with new heads, as its classes are others"
        return f"start: the averaged network of {self.checkpoint}, {heads}"


def _named_layers(reader) -> dict[str, tuple[int, dict]]:
    """Layer's name -> its number among those with weights, and the shape of each weight.

    `reader` is what `tf.train.load_checkpoint` gives.
    """
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(_GRAPH))
    shapes = reader.get_variable_to_shape_map()

    def children(node):
        return {one.local_name: graph.nodes[one.node_id] for one in node.children}

    network = graph.nodes[0]
    for name in _PLACE:
        network = children(network)[name]
    found = {}
    for place, layer in children(network).items():
        if not place.startswith(_LAYER):
            continue
        own = {
            value.full_name: shapes[value.checkpoint_key]
            for variable in children(layer).values()
            for value in variable.attributes
        }
        for name in {full.partition("/")[0] for full in own}:
            found[name] = int(place.removeprefix(_LAYER)), _shapes(own)
    return found


def _shapes(weights_of_layer: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {name.partition(":")[0]: tuple(shape) for name, shape in weights_of_layer.items()}
