"""A model whose 8-bit file ruins one of its two tasks."""

import keras
import numpy as np

import mtl_keras as mtl


def fragile(largest=300.0):
    """A model of two tasks on one tensor whose channels differ greatly in size.

    In 8 bits the scale of the large ones leaves little or nothing of the small ones, which `fine` lives on.
    """
    x = keras.Input((40,), name="x")
    large = np.arange(32) < 2
    h = keras.layers.Dense(32, name="spread")(x)
    tasks = [mtl.Task("fine", mtl.heads.Classifier(labels=["p", "q", "r"])), mtl.Task("coarse", mtl.heads.Regressor())]
    model = mtl.MultiTaskModel(x, {task.name: task.head(h, task.name) for task in tasks}, tasks=tasks)
    rng = np.random.default_rng(4)
    sizes = np.where(large, largest, 0.3)
    model.get_layer("spread").set_weights([rng.normal(size=(40, 32)) * sizes / 6, np.zeros(32)])
    fine = np.where(large, 0.0, 10.0)[:, None] * rng.normal(size=(32, 3))
    coarse = np.where(large, 3.0 / largest, 0.0)[:, None]
    model.get_layer("fine_logits").set_weights([fine, np.zeros(3)])
    model.get_layer("coarse_scaled").set_weights([coarse, np.zeros(1)])
    model.compile("adam", weighting="pcgrad")
    return model


def labelled(model, count=150):
    """Inputs and labels that the model gets right, but for noise; a tenth of the labels is missing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(count, 40)).astype("float32")
    outputs = model.predict(x, verbose=0)
    fine = outputs["fine"].argmax(axis=-1)
    fine[::10] = -1
    coarse = outputs["coarse"] + rng.normal(size=(count, 1)).astype("float32")
    coarse[5::10] = np.nan
    return x, {"fine": fine, "coarse": coarse}
