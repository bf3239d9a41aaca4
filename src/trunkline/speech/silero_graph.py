"""Silero's network, laid out for batches.

The published model is a chain of one-dimensional convolutions over four steps of time,
and a runtime that convolves one call after the other multiplies matrices four columns
wide: 28 µs a window at any batch. The same weights as ordinary products, one row a call,
take a third of that. `read_weights` takes them from the published file, `build` writes
them as a model of our own: window → short-time spectrum → four layers → LSTM cell →
probability. Its answers are the published model's to 1e-5, and bit for bit the same for
a call whatever other calls are in the batch (the tests hold both).

Both read and write just enough of the ONNX protobuf format (onnx.proto3, IR version 8);
the ``onnx`` package is not needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATE", "build", "read_weights"]

Array: TypeAlias = NDArray[np.float32]
Weights: TypeAlias = Mapping[str, Array]

STATE = 128
"""Size of the LSTM's hidden state, and of its cell state."""
_STEPS = 4
"""Steps of time in a window, each half a spectrum's width after the other."""
_BASIS = "stft.forward_basis_buffer"
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_OPSET, _IR_VERSION = 13, 8


# -- reading ----------------------------------------------------------------------------


def read_weights(model: bytes, rate_hz: int) -> Weights | None:
    """The weights for one sample rate; None when this is not the model we know."""
    bins = {8000: 65, 16000: 129}[rate_hz]
    wanted = _shapes(bins)
    try:
        for found in _graphs(memoryview(model)):
            if {name: found[name].shape for name in wanted if name in found} == wanted:
                return {name: found[name] for name in wanted}
    except (IndexError, TypeError, ValueError):
        return None
    return None


def _shapes(bins: int) -> dict[str, tuple[int, ...]]:
    """What must be there, by PyTorch's names."""
    layers = ((128, bins), (64, 128), (64, 64), (128, 64))
    shapes: dict[str, tuple[int, ...]] = {_BASIS: (2 * bins, 1, 2 * (bins - 1))}
    for index, (out, into) in enumerate(layers):
        shapes[f"encoder.{index}.reparam_conv.weight"] = (out, into, 3)
        shapes[f"encoder.{index}.reparam_conv.bias"] = (out,)
    for side in ("ih", "hh"):
        shapes[f"decoder.rnn.weight_{side}"] = (4 * STATE, STATE)
        shapes[f"decoder.rnn.bias_{side}"] = (4 * STATE,)
    shapes["decoder.decoder.2.weight"] = (1, STATE, 1)
    shapes["decoder.decoder.2.bias"] = (1,)
    return shapes


def _graphs(model: memoryview) -> Iterator[dict[str, Array]]:
    """The named tensors of every graph in a model, of nested ones too."""
    waiting = [value for number, value in _fields(model) if number == 7]
    while waiting:
        found: dict[str, Array] = {}
        for number, value in _fields(waiting.pop()):
            if number == 5:  # an initializer
                _note(found, value)
            elif number == 1:  # a node: constants and the branches of an If are attributes
                for attribute in (each for field, each in _fields(value) if field == 5):
                    for field, each in _fields(attribute):
                        if field == 5:
                            _note(found, each)
                        elif field == 6:
                            waiting.append(each)
        yield found


def _note(found: dict[str, Array], tensor: memoryview) -> None:
    dims: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(tensor):
        if number == 1:
            dims.extend([value] if isinstance(value, int) else _varints(value))
        elif number == 2:
            kind = value
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            raw = value
    if name and kind == _FLOAT and len(raw) == 4 * int(np.prod(dims)):
        found[name] = np.frombuffer(raw, "<f4").reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of one protobuf message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(data, at)
        elif not size:
            raise ValueError(f"wire type {wire} is not in ONNX files")
        if at + size > len(data):
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


# -- writing ------------------------------------------------------------------------------


class _Graph:
    """A graph under construction; every method that adds a node gives its output's name."""

    def __init__(self) -> None:
        self.nodes = bytearray()
        self.tensors = bytearray()
        self._count = 0

    def constant(self, value: NDArray[np.float32] | Sequence[int]) -> str:
        """A tensor that is part of the model."""
        self._count += 1
        name = f"c{self._count}"
        floats = isinstance(value, np.ndarray)
        array = np.asarray(value, "<f4" if floats else "<i8")
        dims = b"".join(_number(1, size) for size in array.shape)
        tensor = dims + _number(2, _FLOAT if floats else _INT64)
        self.tensors += _bytes(5, tensor + _text(8, name) + _bytes(9, array.tobytes()))
        return name

    def add(self, kind: str, *inputs: str, outputs: Sequence[str] = (), **attributes: int) -> str:
        """A node."""
        self._count += 1
        names = outputs or (f"t{self._count}",)
        node = b"".join(_text(1, name) for name in inputs)
        node += b"".join(_text(2, name) for name in names) + _text(4, kind)
        for name, value in attributes.items():
            node += _bytes(5, _text(1, name) + _number(3, value) + _number(20, 2))
        self.nodes += _bytes(1, node)
        return names[0]

    def slice(self, tensor: str, start: int, stop: int, axis: int = 1) -> str:
        """A part of an axis."""
        bounds = (self.constant([one]) for one in (start, stop, axis))
        return self.add("Slice", tensor, *bounds)

    def layer(self, tensor: str, weight: Array, bias: str) -> str:
        """``relu(tensor @ weight + bias)``."""
        return self.add("Relu", self.add("Gemm", tensor, self.constant(weight), bias))


def build(weights: Weights) -> bytes:
    """The model: (audio, hidden, cell) → (probability, hidden_out, cell_out).

    ``audio`` is (n, context + window) float32 in -1 to 1, the states (n, 128). For batches
    of two and more: a single row is multiplied in another order by some runtimes.
    """
    graph = _Graph()
    basis = weights[_BASIS][:, 0, :].T
    spectrum = _spectrum(graph, basis)
    encoded = _encoder(graph, spectrum, weights, bins=basis.shape[1] // 2)
    hidden = _cell(graph, encoded, weights)
    out = weights["decoder.decoder.2.weight"][0, :, 0]
    products = graph.add("Mul", graph.add("Relu", hidden), graph.constant(out))
    total = graph.add("ReduceSum", products, graph.constant([1]), keepdims=1)
    biased = graph.add("Add", total, graph.constant(weights["decoder.decoder.2.bias"]))
    graph.add("Sigmoid", biased, outputs=("probability",))
    body = bytes(graph.nodes) + _text(2, "silero") + bytes(graph.tensors)
    for name in ("audio", "hidden", "cell"):
        body += _bytes(11, _described(name))
    for name in ("probability", "hidden_out", "cell_out"):
        body += _bytes(12, _described(name))
    opset = _bytes(8, _text(1, "") + _number(2, _OPSET))
    return _number(1, _IR_VERSION) + _bytes(7, body) + opset


def _spectrum(graph: _Graph, basis: Array) -> str:
    """The magnitudes of four overlapping spectra, (n, 4 × bins)."""
    width, both = basis.shape
    hop, bins = width // 2, both // 2
    # The last half step is the audio mirrored; the reflection does not repeat its edge.
    length = (_STEPS + 1) * hop
    heard = length - hop // 2
    mirror = graph.add(
        "Gather", "audio", graph.constant([*range(heard), *_mirrored(heard, hop // 2)]), axis=1
    )
    halves = graph.add("Reshape", mirror, graph.constant([-1, _STEPS + 1, hop]))
    first, second = graph.slice(halves, 0, _STEPS), graph.slice(halves, 1, _STEPS + 1)
    steps = graph.add("Concat", first, second, axis=2)
    rows = graph.add("Reshape", steps, graph.constant([-1, width]))
    zero = graph.constant(np.zeros(both, np.float32))
    parts = graph.add("Gemm", rows, graph.constant(basis), zero)
    real, imaginary = graph.slice(parts, 0, bins), graph.slice(parts, bins, both)
    squares = (graph.add("Mul", part, part) for part in (real, imaginary))
    magnitude = graph.add("Sqrt", graph.add("Add", *squares))
    return graph.add("Reshape", magnitude, graph.constant([-1, _STEPS * bins]))


def _mirrored(length: int, size: int) -> list[int]:
    return [length - 2 - index for index in range(size)]


def _encoder(graph: _Graph, spectrum: str, weights: Weights, bins: int) -> str:
    """Four convolutions of three steps, written out: what falls on padding is left out."""

    def taps(layer: int, *which: int) -> Array:
        kernel = weights[f"encoder.{layer}.reparam_conv.weight"]
        return np.concatenate([kernel[:, :, tap].T for tap in which])

    biases = [graph.constant(weights[f"encoder.{layer}.reparam_conv.bias"]) for layer in range(4)]
    steps = []
    for step in range(_STEPS):
        near = [tap for tap in range(3) if 0 <= step + tap - 1 < _STEPS]
        begin = step + near[0] - 1
        part = graph.slice(spectrum, begin * bins, (begin + len(near)) * bins)
        steps.append(graph.layer(part, taps(0, *near), biases[0]))
    one = graph.add("Concat", *steps, axis=1)
    early = graph.layer(graph.slice(one, 0, 256), taps(1, 1, 2), biases[1])
    late = graph.layer(graph.slice(one, 128, 512), taps(1, 0, 1, 2), biases[1])
    two = graph.add("Concat", early, late, axis=1)
    three = graph.layer(two, taps(2, 1, 2), biases[2])
    return graph.layer(three, taps(3, 1), biases[3])


def _cell(graph: _Graph, encoded: str, weights: Weights) -> str:
    """One step of the LSTM; gates in PyTorch's order: input, forget, cell, output."""
    joined = graph.add("Concat", encoded, "hidden", axis=1)
    sides = [weights[f"decoder.rnn.weight_{side}"].T for side in ("ih", "hh")]
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    gates = graph.add("Gemm", joined, graph.constant(np.concatenate(sides)), graph.constant(bias))
    parts = [graph.slice(gates, STATE * one, STATE * (one + 1)) for one in range(4)]
    into, forget, new, out = (
        graph.add("Tanh" if one == 2 else "Sigmoid", part) for one, part in enumerate(parts)
    )
    kept, added = graph.add("Mul", forget, "cell"), graph.add("Mul", into, new)
    cell = graph.add("Add", kept, added, outputs=("cell_out",))
    return graph.add("Mul", out, graph.add("Tanh", cell), outputs=("hidden_out",))


def _described(name: str) -> bytes:
    """A float tensor of two dimensions, as an input or output of the graph."""
    shape = b"".join(_bytes(1, _text(2, f"{name}_{axis}")) for axis in range(2))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _coded(field << 3) + _coded(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _coded(field << 3 | 2) + _coded(len(value)) + value


def _coded(value: int) -> bytes:
    """A protobuf varint; negative numbers do not occur."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
