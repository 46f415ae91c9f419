"""Every head as a .tflite file says what the Keras model says, and by name."""

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mtl_keras import heads


def test_litert_equals_keras_for_every_head(examples, tmp_path):
    inputs = keras.Input((4, 4, 6), name="image")
    outputs = {name: example.head(inputs, name) for name, example in examples.items()}
    assert set(outputs) == set(heads.names())
    # the smallest of their kinds: no step between thresholds, one value, one attribute
    outputs["two_ranks"] = heads.Ordinal(2)(inputs, "two_ranks")
    outputs["age"] = heads.Regressor(mean=30.0, std=12.0)(inputs, "age")
    outputs["hat"] = heads.MultiLabel(1)(inputs, "hat")
    model = keras.Model(inputs, outputs)
    path = str(tmp_path / "model.tflite")
    model.export(path, format="litert", verbose=False)
    run = Interpreter(model_path=path).get_signature_runner("serving_default")
    for seed in range(3):
        image = np.random.default_rng(seed).normal(size=(1, 4, 4, 6)).astype("float32") * 10**seed
        found = run(image=image)
        expected = model(image)
        assert set(found) == set(outputs)
        for name in outputs:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
