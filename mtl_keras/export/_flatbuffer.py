"""A .tflite file as Python objects and back, through the schema that ai-edge-litert brings along."""

import copy
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_ALIGNED = 16  # bytes, as the schema asks of every buffer: kernels read weights in vectors


def from_bytes(data: bytes) -> Any:
    """The model (`schema.ModelT`) in the bytes of a .tflite file."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def to_bytes(model: Any) -> bytes:
    """The bytes of a .tflite file; what several subgraphs share is in it once."""
    packed = copy.copy(model)
    packed.buffers = [_AlignedBuffer(buffer.data) for buffer in model.buffers]
    shared: dict[int, _Once] = {}
    packed.subgraphs = []
    for graph in model.subgraphs:
        graph = copy.copy(graph)
        graph.tensors = [shared.setdefault(id(tensor), _Once(tensor)) for tensor in graph.tensors]
        packed.subgraphs.append(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(packed.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Once:
    """A table that is written when it is first needed; a flatbuffer may refer to it from several places."""

    def __init__(self, table: Any):
        self._table = table
        self._place: Any = None

    def Pack(self, builder: Any) -> Any:
        if self._place is None:
            self._place = self._table.Pack(builder)
        return self._place


class _AlignedBuffer(schema.BufferT):
    """A buffer that writes its bytes where the schema wants them; the generated code forgets the alignment."""

    def Pack(self, builder: Any) -> Any:
        place = None
        if self.data is not None:
            data = np.asarray(self.data, dtype=np.uint8).tobytes()
            builder.StartVector(1, len(data), _ALIGNED)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            place = builder.EndVector()
        schema.BufferStart(builder)
        if place is not None:
            schema.BufferAddData(builder, place)
        return schema.BufferEnd(builder)


def signature(model: Any, key: str) -> Any:
    """The signature (`schema.SignatureDefT`) of that name."""
    return next(found for found in model.signatureDefs if text(found.signatureKey) == key)


def text(value: bytes | str) -> str:
    """Names come as bytes from a file and as text from Python."""
    return value.decode() if isinstance(value, bytes) else value
