"""Training, evaluation and prediction as a user calls them, on data that are checked by task name."""

from collections.abc import Generator, Mapping
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.distribute.refusals import check_scope
from mtl_keras.errors import message
from mtl_keras.models.stepping_model import SteppingModel
from mtl_keras.training import data_checks, not_finite
from mtl_keras.training.clock import EpochClock
from mtl_keras.training.continuing import continued
from mtl_keras.training.finite import SatOut
from mtl_keras.training.graph_errors import quiet_about_unknown_length, readable
from mtl_keras.training.input_checks import check_inputs
from mtl_keras.training.label_forms import label_forms
from mtl_keras.training.lost_examples import lost_told
from mtl_keras.training.validation import Validation
from mtl_keras.training.weighting_data import beside_training


class RunningModel(SteppingModel):
    """`fit`, `evaluate`, `predict` and single steps, as in Keras, with labels and sample weights by task name."""

    @property
    def validation(self) -> Validation | None:
        """Whether and when the `fit` that runs validates; None outside of `fit`."""
        return self._setup.validation

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | None = None,
        class_weight: Mapping[str, Mapping[int, float]] | None = None,
        sample_weight: Any = None,
        weighting_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As in Keras, with labels, sample weights and class weights as dicts by task name.

        Args:
            weighting_data: For a weighting that measures its weights on other examples than those it trains on
                (`"auto_lambda"`): `(x, y[, sample_weight])`, or a dataset of batches, which begins again where it ends.

        Raises:
            ValueError: Keys do not match the tasks, data are empty, a label is out of range, an input is not finite or
                has a shape that the model does not take, or layers were frozen since `compile`. Arrays are checked as a
                whole before training; of datasets the structure is, and values batch by batch.
        """
        check_scope(self)
        self._setup.participation.reset(self._setup.frozen)
        _refuse_class_weight(class_weight)
        self._check_trainable()
        x, y, sample_weight = self._checked(x, y, sample_weight, training=True)
        if isinstance(validation_data, (list, tuple)):
            validation_data = self._checked(*[*validation_data, None, None][:3])
        elif validation_data is not None:
            validation_data = self._checked(validation_data, None, None)[0]
        elif validation_split:
            self._retrace(self._setup.forms[True], training=False)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            listed = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
            callbacks = [EpochClock(self.plan.weighting, x), SatOut(self.plan), *listed]
        if isinstance(x, tf.data.Dataset) and sample_weight is not None:
            raise ValueError(
                message(
                    "sample weights inside the dataset", "let it yield (x, y, sample_weight)", sample_weight="given"
                )
            )
        arguments = {
            "x": x,
            "y": y,
            "batch_size": batch_size,
            "epochs": epochs,
            "verbose": verbose,
            "callbacks": callbacks,
            "validation_split": validation_split,
            "validation_data": validation_data,
            # datasets and generators shuffle themselves; Keras warns of the default each time
            "shuffle": not (hasattr(x, "element_spec") or isinstance(x, Generator)) if shuffle is None else shuffle,
            "sample_weight": sample_weight,
        }
        plan = self.plan
        with self.distribute_strategy.scope():
            arguments = beside_training(arguments, weighting_data, plan.weighting, plan.tasks, self._untrained())
        self._setup.validation = Validation(
            has_data=validation_data is not None or validation_split > 0,
            freq=kwargs.get("validation_freq", 1),
            epochs=range(kwargs.get("initial_epoch", 0), epochs),
        )
        try:
            with (
                lost_told(x, validation_data),
                readable(x, validation_data),
                quiet_about_unknown_length(kwargs.get("steps_per_epoch")),
                continued(self, {**arguments, **kwargs}) as resumed,
            ):
                return super().fit(**resumed)
        finally:
            self._setup.validation = None
            self.watch_gradients(None)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As in Keras; `return_dict=True` gives the logs by name. Warns of inputs and outputs that are not finite."""
        within_fit = bool(kwargs.get("_use_cached_eval_dataset"))
        with self._setup.evaluation():
            if not within_fit:
                x, y, sample_weight = self._checked(x, y, sample_weight)
            with readable(x), quiet_about_unknown_length(kwargs.get("steps")):
                found = super().evaluate(x, y, batch_size, verbose, sample_weight, **kwargs)
        if not within_fit:  # which tells once, not after every epoch
            not_finite.tell(*self.plan.not_finite.counts())
        return found

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As in Keras: `{task: outputs}`. Warns of outputs, and inputs in arrays, that are not finite."""
        data_checks.check_not_empty(x)
        outputs = super().predict(x, *args, **kwargs)
        not_finite.tell(*not_finite.counted(x, outputs))
        return outputs

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """As in Keras, with labels and sample weights by task name, checked as `fit` checks arrays."""
        _refuse_class_weight(class_weight)
        self._check_trainable()
        x, y, sample_weight = self._checked(x, y, sample_weight, training=True)
        with readable():
            return self._of_all_replicas(
                super().train_on_batch(x, y, sample_weight, return_dict=return_dict), return_dict
            )

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """As in Keras, with labels and sample weights by task name, checked as `evaluate` checks arrays."""
        x, y, sample_weight = self._checked(x, y, sample_weight)
        with self._setup.evaluation(), readable():
            found = self._of_all_replicas(super().test_on_batch(x, y, sample_weight, return_dict), return_dict)
        not_finite.tell(*self.plan.not_finite.counts())
        return found

    def _of_all_replicas(self, found: Any, return_dict: bool) -> Any:
        """What one batch gave, where Keras takes the mean of what each replica knows of its share."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return found
        logs = self._logs(self._setup.evaluating)
        logs = {key: float(keras.ops.convert_to_numpy(logs[key])) for key in sorted(logs)}
        return logs if return_dict else list(logs.values())

    def _check_trainable(self) -> None:
        """Keras trains layers on that are frozen after `compile`, or not, as it happens."""
        changed = sorted({v.path for v in self.trainable_variables} ^ set(self._setup.trainable))
        if self._setup.plan is not None and changed:
            do = "compile again, or use freeze and unfreeze, which keep the optimizer's memory"
            raise ValueError(
                message("layers as trainable as they were at compile", do, first=changed[0], count=len(changed))
            )

    def _checked(self, x: Any, y: Any, sample_weight: Any, training: bool = False) -> tuple[Any, Any, Any]:
        """Data, checked and as Keras wants them, for steps of training or of evaluation that fit them."""
        tasks = self.plan.tasks, self._untrained()
        if isinstance(x, tf.data.Dataset):
            data_checks.check_dataset(x, *tasks)
            batch = x.element_spec
        elif isinstance(x, Generator):
            batch, x = data_checks.checked_batches(x, *tasks)
        elif isinstance(x, keras.utils.PyDataset):
            batch = data_checks.first_batch(x, *tasks)
        elif y is not None:
            data_checks.check_arrays(x, y, sample_weight, *tasks)
            y, sample_weight = data_checks.for_keras(y, sample_weight)
            batch = x, y, sample_weight
        elif x is None:
            raise ValueError(message("data", "pass x and y, or a dataset of both", x=None))
        else:
            return x, y, sample_weight
        inputs = check_inputs(self.own_inputs(keras.utils.unpack_x_y_sample_weight(batch)[0]), self.input)
        self._retrace([inputs, label_forms(batch, *tasks)], training)
        return x, y, sample_weight


def _refuse_class_weight(class_weight: Any) -> None:
    if class_weight is not None:
        raise ValueError(
            message(
                "class weights where the losses are set",
                "pass compile(class_weight={task: {class id: weight}}) or Task(class_weight=...)",
                class_weight=class_weight,
            )
        )
