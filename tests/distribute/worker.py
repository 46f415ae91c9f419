"""One of the workers of `test_multi_worker.py`; the same functions train in a single process.

`python tests/distribute/worker.py multi_worker FOLDER`
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path

from mtl_keras import distribute


def train(strategy, folder):
    """Two epochs, one epoch more in a model that takes them up, and the best model from its file."""
    import keras
    import numpy as np
    import tiny

    import mtl_keras as mtl

    def fit(epochs, callbacks=()):
        with strategy.scope():
            model = tiny.model(regularizer=keras.regularizers.L2(0.01))
        model.compile(
            tiny.forgiving_adam(),
            loss=tiny.LOSSES,
            metrics={"a": ["accuracy"], "b": ["mae"]},
            class_weight={"a": {0: 3.0}},
            weighting=mtl.weightings.GradVac(),
            scope="features",
        )
        listed = [mtl.callbacks.Resume(folder / "resume"), *callbacks]
        return model, model.fit(data(33), epochs=epochs, validation_data=data(17, 1), verbose=0, callbacks=listed)

    callbacks = [mtl.callbacks.Progress(every=0.0), mtl.callbacks.TaskBoard(folder / "board", every=1)]
    best = mtl.callbacks.BestModel(folder / "best.keras", "a_loss", validated=False)
    _, fitted = fit(2, [*callbacks, best])
    model, again = fit(3)
    distribute.wait_for_all(strategy)
    with strategy.scope():
        loaded = keras.models.load_model(folder / "best.keras")
    return {
        "fit": fitted.history,
        "again": again.history,
        "evaluate": loaded.evaluate(data(19, 2), return_dict=True, verbose=0),
        "predict": loaded.predict(tiny.arrays(11)[0], batch_size=4, verbose=0)["b"].ravel().tolist(),
        "weights": {v.path: np.ravel(v.numpy()).tolist() for v in model.variables if v.dtype == "float32"},
    }


def data(n, seed=0, order=3):
    """Shuffled batches of 8, the last one smaller, of a length that is not known, with labels missing unevenly."""
    import numpy as np
    import tensorflow as tf
    import tiny

    x, y = tiny.arrays(n, seed=seed)
    y["a"][:7] = -1
    y["b"][n // 2 :] = np.nan
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(n, seed=order).batch(8).filter(lambda *_: True)


def apart(strategy, folder):
    """A model trained on record files, of which each worker reads its own; a single process reads all of them."""
    import keras
    import tensorflow as tf

    import mtl_keras as mtl

    features = {"x": tf.io.FixedLenFeature([3], tf.float32), "a": tf.io.FixedLenFeature([], tf.float32)}

    def parsed(record):
        example = tf.io.parse_single_example(record, features)
        return example["x"], {"a": example["a"], "b": example["a"] ** 2}

    def files_of_worker(context):
        files = tf.data.Dataset.list_files(f"{folder}/part-*.tfrecord", shuffle=False)
        files = files.shard(context.num_input_pipelines, context.input_pipeline_id)
        batch_size = context.get_per_replica_batch_size(2 * context.num_input_pipelines)
        return tf.data.TFRecordDataset(files).map(parsed).batch(batch_size, drop_remainder=True)

    def of_all_workers():
        parts = [files_of_worker(tf.distribute.InputContext(2, i, 2)) for i in range(2)]
        pairs = tf.data.Dataset.zip(tuple(parts))
        return pairs.map(lambda *pair: tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *pair))

    keras.utils.set_random_seed(5)
    with strategy.scope():
        x = keras.Input((3,))
        h = keras.layers.Dense(4, "tanh", name="h")(x)
        model = mtl.MultiTaskModel(x, {task: keras.layers.Dense(1, name=task)(h) for task in ("a", "b")})
    model.compile(keras.optimizers.SGD(0.05), loss={"a": "mse", "b": "mse"})
    several = distribute.number_of_workers() > 1
    data = strategy.distribute_datasets_from_function(files_of_worker) if several else of_all_workers()
    logs = model.fit(data, steps_per_epoch=6, verbose=0).history
    return {"logs": logs, "weights": [v.numpy().tolist() for v in model.trainable_variables]}


def write_records(folder):
    """24 examples in four files."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(2)
    for i in range(4):
        with tf.io.TFRecordWriter(f"{folder}/part-{i}.tfrecord") as writer:
            for _ in range(6):
                example = tf.train.Example()
                example.features.feature["x"].float_list.value.extend(rng.normal(size=3))
                example.features.feature["a"].float_list.value.append(rng.normal())
                writer.write(example.SerializeToString())


def refusals(strategy, index, folder):
    """What is said when workers do not share the folder of checkpoints, and when they shuffle differently."""
    import tiny

    import mtl_keras as mtl

    with strategy.scope():
        model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    said = []
    resume = mtl.callbacks.Resume(folder / ("resume" if index == 0 else "elsewhere"))
    for order, callbacks in ((3, [resume]), (index, [])):
        try:
            model.fit(data(33, order=order), verbose=0, callbacks=callbacks)
        except ValueError as error:
            said.append(str(error))
    return said


def last_words(strategy, index):
    """What worker 0 says when worker 1 is killed in the middle of training."""
    import keras
    import tiny

    class Die(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2 and index == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    with strategy.scope():
        model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    try:
        model.fit(data(33), verbose=0, callbacks=[Die()])
    except RuntimeError as error:
        return str(error)
    return "trained"


def main():
    strategy = distribute.strategy(sys.argv[1])
    index, folder = distribute.cluster().index, Path(sys.argv[2])
    result = train(strategy, folder)
    distribute.wait_for_all(strategy)
    result["replicas"] = distribute.replicas(strategy)
    result["apart"] = apart(strategy, folder / "records")
    gc.collect()  # TensorFlow ends no step at once while an iterator over files apart is there
    result["refusals"] = refusals(strategy, index, folder)
    (folder / f"worker{index}.json").write_text(json.dumps(result))
    if index == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # to hear what TensorFlow says, before the launcher ends it
    distribute.wait_for_all(strategy)
    (folder / f"last_words{index}.txt").write_text(last_words(strategy, index))


if __name__ == "__main__":
    main()
