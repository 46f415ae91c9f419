"""Several replicas give the update of one device on the same global batches, for every registered method.

Methods of one kind train one model together: each is asked at every step and keeps its own state, and the mean of what
they say is applied. So a step is traced once for all of them, and not once for each.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras.weightings.wrapper import Wrapper

TWO = tiny.replicas(2)
ONE = tf.distribute.get_strategy()


class Together(Wrapper):
    """Applies the mean of what its methods say, and remembers what each of them said, summed over steps."""

    def __init__(self, names, scope):
        made = [mtl.weightings.registry.cls(name)(**CALM.get(name, {})) for name in names]
        super().__init__(made, name="together")
        self.scopes = (scope,)
        for need in ("positive_losses", "second_forward"):
            setattr(self, need, any(getattr(inner, need) for inner in self.inners))

    def create_state(self, num_tasks):
        super().create_state(num_tasks)
        size = self.gradient_size if self.reads == "jacobian" else num_tasks
        self.said = self.add_state("said", (len(self.inners), size))

    def call(self, losses, *rest):
        said = tf.stack([tf.cast(inner.call(losses, *rest), tf.float32) for inner in self.inners])
        self.said.assign_add(said)
        return tf.reduce_mean(said, axis=0)

    def loss_factors(self, losses, present):
        return None  # those of one of many would do nobody good


# SDMGrad's default walks 20 steps of 10 times the gradient, which multiplies rounding errors a thousandfold
CALM = {"sdmgrad": {"learning_rate": 0.1}}
# what stands for the others at scopes beside a method's first: a weighting sees nothing of a scope but the Gramian
AT_ALL_SCOPES = ("test_unit_norm", "gradnorm", "modo", "sdmgrad")


def groups():
    """`(names, scope)`: all methods that read the same thing, at their first scope; some of them at the others."""
    found = {}
    for name in mtl.weightings.names():
        cls = mtl.weightings.registry.cls(name)
        scopes = cls.scopes if name in AT_ALL_SCOPES else cls.scopes[:1]
        for scope in scopes or ("parameters",):
            if not cls.validation_batches:
                found.setdefault((cls.reads, cls.cross_gramian, scope), []).append(name)
    return [
        pytest.param(names, scope, id=f"{'halves' if cross else reads}-{scope}")
        for (reads, cross, scope), names in found.items()
    ]


def uneven(four, n=48):
    """Labels missing unevenly: `a` from most of one replica's part, `b` from a whole replica and from a whole batch."""
    x, y = tiny.arrays(n, four=four)
    y["a"][:7] = -1
    y["b"][24:32] = np.nan  # the second replica's half of the second batch
    y["b"][32:48] = np.nan  # the third batch
    return x, y


def sgd():
    """Unlike Adam it tells gradients of twice the size apart."""
    return keras.optimizers.SGD(0.02, momentum=0.9)


def run(strategy, data, weighting, four, optimizer=sgd, weighting_data=None, **kwargs):
    with strategy.scope():
        model = tiny.model(four=four, regularizer=keras.regularizers.L2(0.01))
    # compiled outside the scope, with an optimizer made outside of it: both are the model's business
    model.compile(
        optimizer(),
        loss=tiny.FOUR_LOSSES if four else tiny.LOSSES,
        loss_weights={"a": 0.5},
        metrics={"a": ["accuracy"], "b": ["mae"]},
        class_weight={"a": {0: 3.0}},
        weighting=weighting,
        **kwargs,
    )
    history = model.fit(data, epochs=2, verbose=0, weighting_data=weighting_data)
    return model, history.history


def equal_on_both(make, four, **kwargs):
    data = tiny.dataset(*uneven(four))
    one, expected = run(ONE, data, make(), four, **kwargs)
    two, logs = run(TWO, data, make(), four, **kwargs)
    assert tiny.difference(one, two) < 1e-5
    for first, second in zip(one.weighting.variables, two.weighting.variables, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-5, atol=1e-5, err_msg=first.path)
    assert expected.keys() == logs.keys()
    for key in expected:
        np.testing.assert_allclose(logs[key], expected[key], rtol=1e-4, atol=1e-5, err_msg=key)
    return one, two


@pytest.mark.parametrize(("names", "scope"), groups())
def test_two_replicas_equal_one_device(names, scope):
    four = not set(names) <= set(AT_ALL_SCOPES)
    one, _ = equal_on_both(lambda: Together(names, scope), four, scope=scope)
    said = np.abs(one.weighting.said.numpy()).max(axis=1)
    assert np.isfinite(said).all()
    assert [name for name, most in zip(names, said, strict=True) if most == 0 and name != "complementary"] == []


def test_a_loss_weighting_and_a_gradient_method_together():
    """Heads train on the scaled losses, and the loss weighting's own variables are trained."""
    one, two = equal_on_both(
        lambda: ["uncertainty", "pcgrad"], four=False, optimizer=tiny.forgiving_adam, scope="features"
    )
    data = tiny.dataset(*uneven(four=False))
    for key, value in one.evaluate(data, return_dict=True, verbose=0).items():
        np.testing.assert_allclose(two.evaluate(data, return_dict=True, verbose=0)[key], value, rtol=1e-4, atol=1e-5)
    assert (one.weighting.loss_weighting.log_variances.numpy() != 0).all()


def test_trial_steps_on_other_examples():
    """Batches of both kinds have missing labels; of the other examples one batch has no label of `a` at all."""
    x, y = tiny.arrays(48, seed=1)
    y["a"][:16], y["b"][5:30] = -1, np.nan
    weighting = {"learning_rate": 0.05, "primary": ["a"]}
    one, _ = equal_on_both(
        lambda: mtl.weightings.AutoLambda(**weighting), four=False, weighting_data=tiny.dataset(x, y)
    )
    assert (np.abs(one.weighting.learned_weights.numpy() - 0.1) > 0.01).all()
