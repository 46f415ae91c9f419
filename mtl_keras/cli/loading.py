"""Reading what the commands are given: models and arrays."""

import zipfile
from pathlib import Path
from typing import Any

from mtl_keras.errors import message
from mtl_keras.quiet import import_tensorflow


def load(path: Path) -> Any:
    """The Keras model in a .keras file, in safe mode: no code from the file is run.

    Raises:
        ValueError: The file is missing, of another kind, damaged, or holds classes that are not registered.
    """
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(message("a .keras file", "save the model with model.save('name.keras')", path=str(path)))
    if not zipfile.is_zipfile(path):
        raise ValueError(message("a .keras file that is whole", "save or copy it again", path=str(path)))
    import_tensorflow()
    import keras

    import mtl_keras.models  # noqa: F401  registers every class that a saved model can hold

    try:
        return keras.models.load_model(path, safe_mode=True)
    # damage shows as anything from a bad zip to a missing key
    except Exception as error:
        cause = str(error).rsplit("Exception encountered: ", 1)[-1]  # Keras wraps it in the file's whole config
        raise ValueError(
            message("a .keras file that loads", "save the model again", path=str(path), error=cause[:300])
        ) from error


def read_arrays(path: Path, model: Any) -> tuple[Any, dict[str, Any]]:
    """Inputs and labels from an .npz file: one array for each input and each trained task, by name.

    Raises:
        ValueError: The file cannot be read, or an input is missing.
    """
    import numpy as np

    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            message(
                "an .npz file of arrays, or the config.yaml of a training run",
                "write arrays with numpy.savez; for photos that a CSV file labels, see mtl-keras train",
                path=str(path),
                error=str(error)[:200],
            )
        ) from error
    names = [tensor.name for tensor in model.inputs]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(
            message(f"arrays for the inputs {names}", "add them", path=str(path), missing=missing, arrays=list(arrays))
        )
    inputs = {name: arrays.pop(name) for name in names}
    x = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    return x, arrays


def read_data(path: Path, model: Any) -> Any:
    """Data with labels: arrays of an .npz file, or the source that the `config.yaml` of a training run describes.

    Raises:
        ValueError: The file cannot be read, an input is missing, or the labels are not those of the model.
    """
    if path.suffix not in (".yaml", ".yml"):
        return read_arrays(path, model)
    import tempfile

    from mtl_keras.cli.train_config import TrainConfig
    from mtl_keras.cli.train_run import read_source

    with tempfile.TemporaryDirectory() as place:
        source = read_source(TrainConfig.of(path, {}), Path(place))
    known = {task.name: task.head.describe().get("labels") for task in getattr(model, "tasks", ())}
    for task in source.tasks():
        labels = task.head.describe().get("labels")
        if task.name in known and labels != known[task.name]:
            raise ValueError(
                message(
                    f"the labels {known[task.name]} of task {task.name!r}, in this order",
                    "pass the data that the model was trained on",
                    path=str(path),
                    labels=labels,
                )
            )
    return source
