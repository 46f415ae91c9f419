"""Trunks that end in a dense layer: with many tasks, its Gramian is cheaper without the gradients themselves."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from mtl_keras.gradients import dense
from mtl_keras.gradients.gramian import Row
from mtl_keras.gradients.groups import stacked
from mtl_keras.graph import Call

# from so many tasks on: with fewer, their gradients are needed anyway and cost less than another way back
MANY = 4


@dataclass(frozen=True)
class DenseEnd:
    """The dense layer that makes the only cut tensor.

    Attributes:
        layer: The layer.
        trunk: Model from the inputs to the cut, and to what goes into the layer.
    """

    layer: keras.layers.Dense
    trunk: keras.Model

    def gramian(self, inputs: tf.Tensor, at_cut: list[Row]) -> tf.Tensor:
        """Inner products of K tasks' gradients of the layer's variables, float64 [K, K].

        Args:
            inputs: What went into the layer.
            at_cut: The tasks' gradients at what came out of it, one piece each.
        """
        there = next((piece for (piece,) in at_cut if piece is not None), None)
        if there is None:
            return tf.zeros([len(at_cut), len(at_cut)], tf.float64)
        rows = [tf.zeros_like(there) if piece is None else piece for (piece,) in at_cut]
        return dense.gramian(self.layer, inputs, stacked(rows))


def dense_end(
    calls: list[Call], shared_layers: list[keras.layers.Layer], trunk: keras.Model, num_tasks: int
) -> DenseEnd | None:
    """The trunk's dense end; None if it has none, or its Gramian is better taken from gradients.

    Args:
        calls: All of the graph.
        shared_layers: Layers with variables before the cut, in running order.
        trunk: Model from the inputs to the cut.
        num_tasks: How many tasks are trained.
    """
    made = [call for call in calls if any(tensor is trunk.outputs[0] for tensor in call.outputs)]
    trained = [layer for layer in shared_layers if layer.trainable_variables]
    if num_tasks < MANY or len(trunk.outputs) > 1 or not made or not trained:
        return None
    layer, taken = made[0].operation, made[0].inputs
    if layer is not trained[-1] or sum(call.operation is layer for call in calls) > 1:
        return None
    if type(layer) is not keras.layers.Dense or layer.activation not in dense.ACTIVATIONS:
        return None
    own = [layer.kernel] + ([] if layer.bias is None else [layer.bias])
    all_are_trained = [id(v) for v in layer.variables] == [id(v) for v in layer.trainable_variables]
    has_others = [id(v) for v in layer.variables] != [id(v) for v in own]  # low rank updates, scales of whole numbers
    if not all_are_trained or has_others:
        return None
    # what the layer would convert before it multiplies
    is_plain = len(taken) == 1 and len(taken[0].shape) == 2 and not taken[0].sparse
    if not is_plain or not taken[0].dtype == layer.compute_dtype == layer.variable_dtype == "float32":
        return None
    return DenseEnd(layer, keras.Model(trunk.input, [*trunk.outputs, taken[0]]))
