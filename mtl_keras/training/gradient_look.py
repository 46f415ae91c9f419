"""Task gradients measured beside the training step, whatever the method."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import replicas
from mtl_keras.training.gradient_step import everywhere
from mtl_keras.training.split_pass import SplitPass
from mtl_keras.training.step_plan import StepPlan


def measure_gradients(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> None:
    """Measure the gradients of one batch at the present values of the variables; only the tracker moves.

    Costs a forward pass, a pass back through the heads, and as many through the trunk as the scope has
    (`parameters` K, `features` none, `last_layer` K through that layer).
    """
    before = [(v, tf.identity(v.value)) for v in plan.whole.non_trainable_variables]
    scale = model.optimizer.scale_loss(tf.ones([]))
    with keras.StatelessScope(before, initialize_variables=False):
        split = SplitPass(model, plan, x, y, sample_weight, losses_only=True)
        at_cut, _ = split.at_cut_and_heads()
        if plan.watch.scope == "features":
            gramian = replicas.total(gram.gramian(gram.blocks(at_cut), len(plan.names)))
        else:
            variables = plan.shared_variables if plan.watch.scope == "parameters" else plan.last_shared_variables
            rows = [everywhere(split.pulled_back(row, variables), variables) for row in at_cut]
            gramian = gram.gramian(gram.blocks(rows), len(plan.names))
    plan.watch.tracker.update_state(gramian / tf.cast(scale, tf.float64) ** 2, split.measured.present)
