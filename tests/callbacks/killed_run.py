"""Run as a script: training runs that are killed, started again and killed again, beside one that never is.

Children are forks of this process, which has imported everything and has not started TensorFlow. A child counts the
events of its run, batches and steps that Python takes on files, and kills itself with SIGKILL at a given one.
"""

import hashlib
import json
import os
import random
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras import distribute

FILE_EVENTS = ("open", "os.mkdir", "os.remove", "os.rename")
EPOCHS = 4


class Killer(keras.callbacks.Callback):
    """Counts events, and ends the process at the one that is due."""

    state_attributes = ()

    def __init__(self, due):
        super().__init__()
        self.due, self.events, self.training = due, 0, False
        sys.addaudithook(lambda name, arguments: self.count() if self.training and name in FILE_EVENTS else None)

    def count(self):
        self.events += 1
        if self.events == self.due:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_begin(self, logs=None):
        self.training = True

    def on_train_batch_begin(self, batch, logs=None):
        self.count()

    def on_train_batch_end(self, batch, logs=None):
        self.count()

    def on_test_batch_end(self, batch, logs=None):
        self.count()

    def on_train_end(self, logs=None):
        self.training = False


def train(folder, replicas, due=None):
    """One attempt at the run, with everything in it that has state. Writes `result.json` at the end."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(4)
    x, y = tiny.arrays(40)
    y["b"][5:20] = np.nan
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40, seed=3).batch(8)
    with distribute.strategy("mirrored" if replicas > 1 else "one").scope():
        model = tiny.model(batch_norm=True, dropout=0.3)
    rate = keras.optimizers.schedules.CosineDecay(0.01, 20)
    own = {"a": keras.optimizers.SGD(rate, momentum=0.9), "b": keras.optimizers.SGD(0.02, momentum=0.9)}
    optimizer = mtl.optimizers.per_task("adam", own, global_clipnorm=1.0)
    weighting = mtl.weightings.Composed(["uncertainty", "pcgrad"]) if replicas == 1 else "uncertainty"
    model.compile(optimizer, loss=tiny.LOSSES, metrics={"a": ["accuracy"], "b": ["mae"]}, weighting=weighting)
    killer = Killer(due)
    history = model.fit(
        data,
        validation_data=tiny.dataset(*tiny.arrays(24, seed=1), batch_size=12),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            killer,
            mtl.callbacks.EarlyStopping(patience=EPOCHS),
            mtl.callbacks.Schedule({"b": {2: 0.5}}),
            mtl.callbacks.TaskEarlyStopping(["b"], patience=2, min_delta=100.0),
            mtl.callbacks.ReduceOnPlateau("b", factor=0.5, patience=1, min_delta=100.0),
            mtl.callbacks.BestModel(folder / "best.keras", "a"),
            mtl.callbacks.Resume(folder / "resume", every=2),
        ],
    )
    best = keras.models.load_model(folder / "best.keras")
    result = {"history": history.history, "epochs": history.epoch, "model": digest(model), "best": digest(best)}
    result["table"] = (folder / "resume" / "history.csv").read_text()
    result["rate"] = float(keras.ops.convert_to_numpy(model.optimizer.parts["b"].learning_rate))
    (folder / "result.json").write_text(json.dumps({**result, "events": killer.events}))


def digest(model):
    """A hash of every weight, of the weighting's state and of the optimizer's."""
    found = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        for of_replica in model.distribute_strategy.experimental_local_results(variable.value):
            found.update(of_replica.numpy().tobytes())
    return found.hexdigest()


def in_child(folder, replicas, due=None):
    """Whether an attempt ended by itself; errors end this script."""
    child = os.fork()
    if child == 0:
        try:
            train(folder, replicas, due)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert status == 0
    return True


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def main(folder, replicas, kills, seed):
    whole, killed = folder / f"whole-{replicas}", folder / f"killed-{replicas}"
    for path in (whole, killed):
        path.mkdir(parents=True)
    assert in_child(whole, replicas)
    wanted = result_of(whole)
    events, rng = wanted.pop("events"), random.Random(seed)
    # early enough that every attempt is killed, as each begins further on
    dues = [rng.randint(1, 2 * events // 3) for _ in range(kills)]
    happened = sum(not in_child(killed, replicas, due) for due in dues)
    if not (killed / "result.json").exists():
        assert in_child(killed, replicas)
    found = result_of(killed)
    found.pop("events")
    differing = [key for key in wanted if wanted[key] != found[key]]
    left = sorted(path.name for path in (killed / "resume").iterdir())
    summary = {"replicas": replicas, "dues": dues, "kills": happened, "differing": differing, "left": left}
    print(json.dumps({**summary, "rate": found["rate"]}))


if __name__ == "__main__":
    for number in (1, 2):
        main(Path(sys.argv[1]), number, int(sys.argv[2]), int(sys.argv[3]))
