"""Models for the tests of exports, with output names that sort differently from their order."""

import keras
import numpy as np

import mtl_keras as mtl

L = keras.layers


def several_kinds():
    """Every kind of layer that converters treat in their own way: two inputs, a residual sum, BatchNorm, an image."""
    image, extra = keras.Input((16, 16, 3), name="photo"), keras.Input((4,), name="extra")
    h = L.Conv2D(8, 3, padding="same", use_bias=False, name="first")(image)
    h = stem = L.ReLU()(L.BatchNormalization(name="norm")(h))
    h = L.ReLU()(L.Add()([L.Conv2D(8, 3, padding="same", name="second")(h), stem]))
    mask = L.Activation("sigmoid", name="mask")(L.Conv2D(1, 1, name="mask_logits")(h))
    h = L.Concatenate()([L.Flatten()(L.MaxPooling2D(4)(h)), extra])
    h = L.Dense(32, "relu", name="features")(h)
    outputs = {
        "zebra": L.Dense(5, "softmax", name="zebra")(h),
        "mask": mask,
        "age": L.Rescaling(10.0, 40.0, name="age")(L.Dense(1, name="age_scaled")(h)),
        "Ant": L.Dense(2, name="Ant")(h),
    }
    return settled(keras.Model([image, extra], outputs, name="several_kinds"))


def with_heads():
    """A MultiTaskModel whose heads know labels, thresholds and units."""
    tasks = [
        mtl.Task("price", mtl.heads.Regressor(mean=400.0, std=90.0, unit="EUR")),
        mtl.Task("colour", mtl.heads.Classifier(labels=["red", "green", "blue"])),
        mtl.Task("extras", mtl.heads.MultiLabel(labels=["belt", "hood"], thresholds=[0.3, 0.6])),
    ]
    return settled(mtl.build(keras.Input((12, 12, 3), name="photo"), mtl.sharing.Hard(mtl.trunks.Conv((8, 16))), tasks))


def many_tasks(count):
    """`count` tasks on a dense trunk; their names run against their order."""
    x = keras.Input((6,), name="x")
    h = L.Dense(8, "relu", name="shared")(x)
    names = [f"t{count - index:02d}" for index in range(count)]
    return settled(keras.Model(x, {name: L.Dense(2, name=name)(h) for name in names}))


def settled(model, seed=5):
    """The model with weights and moving statistics that differ from those of a new one."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        drawn = rng.normal(0.0, 0.3, variable.shape)
        variable.assign(np.abs(drawn) + 0.5 if "variance" in variable.path or "gamma" in variable.path else drawn)
    return model


def batch(model, size=8, seed=1):
    """Inputs of a model by name, between 0 and 1."""
    rng = np.random.default_rng(seed)
    return {tensor.name: rng.random((size, *tensor.shape[1:])).astype("float32") for tensor in model.inputs}


def answers(model, inputs):
    """What the Keras model says, by task."""
    structure = keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)
    return {task: np.asarray(value) for task, value in model(structure, training=False).items()}
