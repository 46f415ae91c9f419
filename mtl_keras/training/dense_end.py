"""Trunks that end in a dense layer: with many tasks, its Gramian is cheaper without the gradients themselves."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from mtl_keras.gradients import dense
from mtl_keras.gradients.gramian import Row
from mtl_keras.graph import Call

# where examples' gradients would be no less work with a batch of so many, those of tasks are taken as ever
USUAL_BATCH = 64


@dataclass(frozen=True)
class DenseEnd:
    """The dense layer that makes the only cut tensor.

    Attributes:
        layer: The layer.
        trunk: Model from the inputs to the cut, and to what goes into the layer.
    """

    layer: keras.layers.Dense
    trunk: keras.Model

    @property
    def is_known(self) -> bool:
        """Whether the slope of its activation is; the layer may have got another one since."""
        return dense.slope_of(self.layer.activation) is not None

    def gramian(self, inputs: tf.Tensor, outputs: tf.Tensor, at_cut: list[Row]) -> tf.Tensor:
        """Inner products of K tasks' gradients of the layer's variables, float64 [K, K].

        Args:
            inputs: What went into the layer.
            outputs: What came out of it.
            at_cut: The tasks' gradients there, one piece each.
        """
        if all(piece is None for (piece,) in at_cut):
            return tf.zeros([len(at_cut), len(at_cut)], tf.float64)
        rows = [tf.zeros_like(outputs) if piece is None else piece for (piece,) in at_cut]
        return dense.gramian(self.layer, inputs, outputs, tf.stack(rows, 1))


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
    if len(trunk.outputs) > 1 or not made or not trained:
        return None
    call = made[0]
    layer, taken = call.operation, call.inputs
    if layer is not trained[-1] or type(layer) is not keras.layers.Dense or dense.slope_of(layer.activation) is None:
        return None
    own = [id(v) for v in (layer.kernel, layer.bias) if v is not None]
    # low rank updates and scales of whole numbers are variables, too
    if not own == [id(v) for v in layer.variables] == [id(v) for v in layer.trainable_variables]:
        return None
    # in other models, wrappers and layers of layers as well
    others = [v for other in calls if other is not call for v in getattr(other.operation, "variables", ())]
    if any(id(v) in own for v in others):
        return None
    # what the layer would convert before it multiplies
    is_plain = len(taken) == 1 and len(taken[0].shape) == 2 and not taken[0].sparse
    if not is_plain or not taken[0].dtype == layer.compute_dtype == layer.variable_dtype == "float32":
        return None
    # on GPUs nothing of this was measured
    size_in, size_out = layer.kernel.shape
    if tf.config.list_logical_devices("GPU") or not dense.is_worth_it(USUAL_BATCH, size_in, size_out, num_tasks):
        return None
    return DenseEnd(layer, keras.Model(trunk.input, [*trunk.outputs, taken[0]]))
