"""Keras models under several replicas: what Keras' trainer is shown, and all that leans on its own workings.

Keras 3 trains under a strategy by `model.distribute_strategy`, which is public, but

- hands TensorFlow whole datasets to distribute, whose last batch then leaves replicas empty,
- reduces logs of several workers by a route that fails for plain numbers, chosen by the strategy's class,
- takes a batch from the data before training to build what is not built yet (`Model._maybe_symbolic_build`, not
  public), which fails for batches that do not divide, and moves shuffled data on by one epoch.

The first two are mended by showing Keras a `SeenByKeras`; the third by overriding that method with nothing, which is
right where `compile` builds everything. `tests/distribute/test_replicated_model.py` says so when Keras changes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.distribute.cluster import number_of_workers
from mtl_keras.distribute.shares import Share, own_share
from mtl_keras.errors import message

BUILDS_FROM_DATA = "_maybe_symbolic_build"  # the one private name


class SeenByKeras:
    """Everything a strategy is, but each replica takes its share of a batch itself, and its class is nobody's business.

    Args:
        strategy: With more than one replica.
        among_workers: Whether workers share the data, as in training, or each takes all of them, as in prediction.
    """

    def __init__(self, strategy: tf.distribute.Strategy, among_workers: bool = True):
        self._strategy = strategy
        self._among_workers = among_workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def experimental_distribute_dataset(self, dataset: tf.data.Dataset, options: Any = None) -> tf.data.Dataset:
        """The dataset as it is: one iterator for all replicas, which TensorFlow traces and ends like any other."""
        return dataset

    def run(self, step: Callable, args: tuple = (), kwargs: Any = None, options: Any = None) -> Any:
        """Run a step on every replica's share; batches that were distributed before are shares already."""
        if len(args) != 1:
            return self._strategy.run(step, args=args, kwargs=kwargs)
        (batch,) = args
        if any(isinstance(part, tf.distribute.DistributedValues) for part in tf.nest.flatten(batch)):
            return self._strategy.run(step, args=args)
        return self._strategy.run(lambda batch: step(own_share(batch, self._among_workers)), args=args)


@contextmanager
def lost_workers() -> Iterator[None]:
    """Turn TensorFlow's error about a worker that is gone into one that says what to do.

    Raises:
        RuntimeError: Another worker has ended.
    """
    try:
        yield
    except tf.errors.UnavailableError as error:
        found = re.search(r"Collective ops is aborted by: (.*)", error.message)
        if number_of_workers() == 1 or found is None:
            raise
        raise RuntimeError(
            message(
                "all workers to stay until the end, but another one has ended",
                "look at what it said last, and start all again; with callbacks.Resume they go on from the last epoch",
                error=found[1],
            )
        ) from error


class ReplicatedModel(keras.Model):
    """A Keras model that trains, evaluates and predicts right on any number of replicas and workers.

    Subclasses build everything in `compile`, and take `Share`s in `train_step` and `test_step`.
    """

    @property
    def distribute_strategy(self) -> Any:
        """The strategy that the model was made under, as Keras' trainer is to see it."""
        strategy = super().distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            return strategy
        return SeenByKeras(strategy, among_workers=not self.__dict__.get("_each_worker_for_itself", False))

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As in Keras; where another worker ends, so does this one, and says so."""
        with lost_workers():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; where another worker ends, so does this one, and says so."""
        with lost_workers():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; with several workers each one gets the outputs of all data, and may call it alone."""
        self._each_worker_for_itself = True
        try:
            return super().predict(*args, **kwargs)
        finally:
            self._each_worker_for_itself = False

    def predict_step(self, data: Any) -> Any:
        """The outputs of one batch."""
        batch, real = data if isinstance(data, Share) else (data, None)
        outputs = self(self.own_inputs(keras.utils.unpack_x_y_sample_weight(batch)[0]), training=False)
        if real is None:
            return outputs
        return tf.nest.map_structure(lambda output: output[: tf.where(real, tf.shape(output)[0], 0)], outputs)

    def own_inputs(self, x: Any) -> Any:
        """Of a dict, the model's own inputs: Keras takes dicts by position where there are other keys beside them."""
        by_key = isinstance(self.input, Mapping)
        names = list(self.input) if by_key else [tensor.name for tensor in self.inputs]
        if not isinstance(x, Mapping) or not all(name in x for name in names):
            return x
        if by_key:
            return {name: x[name] for name in names}
        return keras.tree.map_structure(lambda tensor: x[tensor.name], self.input)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        return
