"""One of the workers of `test_multi_worker.py`; the same functions train in a single process.

`python tests/distribute/worker.py multi_worker FOLDER`
"""

import json
import sys
from pathlib import Path

from mtl_keras import distribute


def train(strategy, folder):
    """Two epochs, a checkpoint by the chief, and one epoch more from the checkpoint."""
    import keras
    import numpy as np
    import tiny

    import mtl_keras as mtl

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
    callbacks = [mtl.callbacks.Progress(every=0.0), mtl.callbacks.TaskBoard(folder / "board", every=1)]
    best = mtl.callbacks.BestModel(folder / "best.keras", "a_loss", validated=False)
    fitted = model.fit(data(33), epochs=2, validation_data=data(17, 1), verbose=0, callbacks=[*callbacks, best])
    with distribute.chief_first(strategy):
        if distribute.is_chief():
            model.save(folder / "last.keras")
    with strategy.scope():
        model = keras.models.load_model(folder / "last.keras")
    again = model.fit(data(33), epochs=3, initial_epoch=2, verbose=0)
    return {
        "fit": fitted.history,
        "again": again.history,
        "evaluate": model.evaluate(data(19, 2), return_dict=True, verbose=0),
        "predict": model.predict(tiny.arrays(11)[0], batch_size=4, verbose=0)["b"].ravel().tolist(),
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


def different_orders(strategy, index):
    """What training says when workers shuffle differently."""
    import tiny

    with strategy.scope():
        model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    try:
        model.fit(data(33, order=index), verbose=0)
    except ValueError as error:
        return str(error)
    return "trained"


def main():
    strategy = distribute.strategy(sys.argv[1])
    index, folder = distribute.cluster().index, Path(sys.argv[2])
    result = train(strategy, folder)
    distribute.wait_for_all(strategy)
    result["replicas"] = distribute.replicas(strategy)
    result["error"] = different_orders(strategy, index)
    (folder / f"worker{index}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
