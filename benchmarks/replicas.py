"""How far two replicas end from one device on the same global batches, for every method at every scope that it has.

Labels are missing unevenly: of one task most on one replica, of another all on one replica, and all in a whole batch.
Both start alike and take the same steps of SGD; what is compared are the weights afterwards. Devices are two logical
ones of the processor.
"""

import argparse
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import record, table
from mtl_keras.weightings.base import SCOPES

AIM = 1e-5
BATCH, BATCHES, EPOCHS = 16, 3, 2
LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mse", "age": "mae", "sold": "binary_crossentropy"}
CLASSES = 5
# SDMGrad's default walks 20 steps of 10 times the gradient, which multiplies rounding errors a thousandfold
CALM = {"sdmgrad": {"learning_rate": 0.1}}
WITHOUT_SCOPE = "losses"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/replicas.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas", description=__doc__)
    parser.add_argument("--methods", nargs="+", default=mtl.weightings.names(), help="default all")
    methods = parser.parse_args(arguments).methods
    devices = _two_devices()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    strategies = [tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices)]
    found: dict[str, dict[str, float]] = {}
    for name in methods:
        for scope in scopes(name):
            began = time.monotonic()
            found.setdefault(name, {})[scope] = difference(*[trained(s, name, scope) for s in strategies])
            print(f"{name} {scope}: {found[name][scope]:.1e} in {time.monotonic() - began:.0f} s", flush=True)
    text = report(found)
    print(text)
    record("replicas", text)


def _two_devices() -> list[str]:
    """The processor as two devices; to be called before TensorFlow is used."""
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    return [device.name for device in tf.config.list_logical_devices("CPU")]


def scopes(name: str) -> tuple[str, ...]:
    return mtl.weightings.registry.cls(name).scopes or (WITHOUT_SCOPE,)


def trained(strategy: tf.distribute.Strategy, name: str, scope: str) -> list[np.ndarray]:
    """All weights of the model, and the state of the method, after training."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    method = mtl.weightings.registry.cls(name)(**CALM.get(name, {}))
    with strategy.scope():
        model = graph()
    chosen = {} if scope == WITHOUT_SCOPE else {"scope": scope}
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss=LOSSES, weighting=method, **chosen)
    others = {"weighting_data": batches(seed=1)} if method.validation_batches else {}
    before = numbers(model.trainable_weights)
    model.fit(batches(seed=0), epochs=EPOCHS, verbose=0, **others)
    if difference(before, numbers(model.trainable_weights)) < 100 * AIM:
        raise RuntimeError(f"Expected weights that move in training. Received: method={name}, scope={scope}.")
    return numbers([*model.weights, *method.variables])


def numbers(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in variables if keras.backend.is_float_dtype(v.dtype)]


def graph() -> mtl.MultiTaskModel:
    """A small convolutional trunk and four heads."""
    image = keras.Input((8, 8, 1), name="image")
    features = mtl.trunks.Conv((4,), dense=(8,))(image)
    sizes = dict.fromkeys(LOSSES, (1, None)) | {"kind": (CLASSES, "softmax"), "sold": (1, "sigmoid")}
    heads = {name: keras.layers.Dense(units, activation, name=name) for name, (units, activation) in sizes.items()}
    return mtl.MultiTaskModel(image, {name: head(features) for name, head in heads.items()})


def batches(seed: int) -> tf.data.Dataset:
    """Three batches: the second has labels of `size` on the first replica alone, the third has none of them."""
    rng, n = np.random.default_rng(seed), BATCH * BATCHES
    images = rng.normal(size=(n, 8, 8, 1)).astype("float32")
    labels = {name: rng.normal(size=n).astype("float32") for name in ("size", "age")}
    labels |= {"kind": rng.integers(0, CLASSES, n), "sold": rng.integers(0, 2, n).astype("float32")}
    labels["kind"][: BATCH // 2 - 1] = -1
    labels["size"][BATCH + BATCH // 2 :] = np.nan
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)


def difference(one: list[np.ndarray], two: list[np.ndarray]) -> float:
    """The largest difference of two weights, as a part of the weight where that is larger than 1."""
    pairs = zip(one, two, strict=True)
    return max(float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1.0), initial=0.0)) for a, b in pairs)


def report(found: dict[str, dict[str, float]]) -> str:
    columns = [WITHOUT_SCOPE, *SCOPES]
    rows = [[f"`{name}`", *[_cell(of.get(column)) for column in columns]] for name, of in found.items()]
    everything = list(_values(found))
    met = sum(value <= AIM for value in everything)
    return "\n\n".join(
        [
            f"The largest difference between weights after {BATCHES * EPOCHS} steps on one device and on two replicas,"
            " four tasks with labels missing unevenly; states of the methods count as weights. Methods that read losses"
            f" have no scope. {met} of {len(everything)} are at most {AIM:g}; the others are bold.",
            table(["method", *[f"`{column}`" if column in SCOPES else column for column in columns]], rows),
            "Made by `python -m benchmarks.replicas`.",
        ]
    )


def _values(found: dict[str, dict[str, float]]) -> Iterator[float]:
    for of in found.values():
        yield from of.values()


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if value <= AIM else f"**{value:.1e}**"


if __name__ == "__main__":
    main()
