"""An .onnx file in onnxruntime."""

from os import PathLike, fspath
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._extras import needs

_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(bool)": "bool"}


class OnnxRuntime:
    """An .onnx file: one signature, `all_tasks`."""

    def __init__(self, path: str | PathLike[str], threads: int | None = None):
        needs("onnx", "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(fspath(path), options, ["CPUExecutionProvider"])
        # its own error classes are private
        except Exception as error:
            raise ValueError(
                message("an ONNX file that loads", "export it again", path=fspath(path), error=str(error)[:200])
            ) from error

    def signatures(self) -> dict[str, list[str]]:
        return {"all_tasks": [output.name for output in self._session.get_outputs()]}

    def inputs(self, signature: str | None = None) -> dict[str, tuple[list[int], str]]:
        return {
            given.name: (
                [side if isinstance(side, int) else -1 for side in given.shape],
                _DTYPES.get(given.type, given.type.removeprefix("tensor(").removesuffix(")")),
            )
            for given in self._session.get_inputs()
        }

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = self.signatures()[signature]
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def metadata(self) -> dict[str, str]:
        """What the file says of itself, by key."""
        return dict(self._session.get_modelmeta().custom_metadata_map)
