"""compare_with_single_tasks: sizes that can be counted by hand."""

import keras
import numpy as np
import pytest
from exported import text_of

import mtl_keras as mtl


def test_separate_models_repeat_the_trunk():
    x = keras.Input((16,), name="x")
    trunk = keras.layers.Dense(1000, "relu", name="trunk")(x)
    outputs = {f"task{i}": keras.layers.Dense(3, name=f"task{i}")(trunk) for i in range(3)}
    model = keras.Model(x, outputs)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    weights = [weight.copy() for weight in model.get_weights()]
    shared, separate = mtl.export.compare_with_single_tasks(model, rounds=2)
    trunk_size, head_size = 16 * 1000 + 1000, 1000 * 3 + 3
    assert shared.parameters == trunk_size + 3 * head_size
    assert separate.parameters == 3 * (trunk_size + head_size)
    # a file holds its float32 parameters and little else
    assert 4 * shared.parameters < shared.bytes < 4 * shared.parameters + 12_000
    assert 4 * separate.parameters < separate.bytes < 4 * separate.parameters + 3 * 12_000
    assert shared.milliseconds > 0
    assert separate.milliseconds > 0
    assert all((new == old).all() for new, old in zip(model.get_weights(), weights, strict=True))


@pytest.mark.parametrize("rounds", [0, -1])
def test_no_rounds_are_refused(rounds):
    x = keras.Input((2,), name="x")
    with pytest.raises(ValueError, match="round") as error:
        mtl.export.compare_with_single_tasks(keras.Model(x, {"a": x}), rounds=rounds)
    assert text_of(error) == f"Expected at least one round. Received: rounds={rounds}. Do pass rounds=50."
