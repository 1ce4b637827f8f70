"""An ONNX model: rows, samples or pictures to features."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_infomax import __version__
from stream_infomax.export.affine import Affine
from stream_infomax.export.mel import FLOOR, Mel
from stream_infomax.export.subject import Front, Subject
from stream_infomax.learning.infomax.neurons import LOG_FLOOR
from stream_infomax.settings.extras import optional
from stream_infomax.stages.logmel import LARGEST_SAMPLE

with optional():
    import onnx

# Old enough for what runs on small machines.
OPERATORS, FORMAT = 17, 8
# What the output is called.
FEATURES = "features"


Shape: TypeAlias = tuple[int | None, ...]


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operator: str, *inputs: str | NDArray[Any] | float | int, out: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output; an array or number becomes a constant."""
        out = out or f"{operator.lower()}{len(self.nodes)}"
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        self.nodes.append(onnx.helper.make_node(operator, names, [out], **attributes))
        return out

    def _constant(self, value: NDArray[Any] | float | int) -> str:
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return name


def model(one: Subject, name: str) -> bytes:
    """Return the bytes of a model; the same for the same basis."""
    graph = Graph()
    source, shape, rows, grid = _rows(graph, one.front, one.encoder.n_features)
    features = _encode(graph, one, rows)
    out: Shape = (None, one.encoder.width)
    if grid:
        tail = graph.add("Concat", *grid, np.array([one.encoder.width]), axis=0)
        graph.add("Reshape", features, tail, out=FEATURES)
        out = (None, *out)
    else:
        graph.add("Identity", features, out=FEATURES)
    helper, float_ = onnx.helper, onnx.TensorProto.FLOAT
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [helper.make_tensor_value_info(source, float_, shape)],
            [helper.make_tensor_value_info(FEATURES, float_, out)],
            [onnx.numpy_helper.from_array(array, called) for called, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPERATORS)],
        ir_version=FORMAT,
        producer_name="stream_infomax",
        producer_version=__version__,
    )
    about = {"basis": one.encoder.version, "output": one.encoder.output, "stage": one.name}
    if one.front is not None and one.front.rate:
        about["rate"] = f"{one.front.rate:g}"
    helper.set_model_props(made, about)
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _rows(graph: Graph, front: Front | None, width: int) -> tuple[str, Shape, str, tuple[str, ...]]:
    """Return the name of the input, its shape, the rows (n, K), and the numbers of patches down and across."""
    if front is None or front.form == "patches":
        return "rows", (None, width), "rows", ()
    given = front.windows
    if front.form == "grid":
        source = "picture"
        down, n_down = _places(graph, source, 0, given.patch, given.stride)
        across, n_across = _places(graph, source, 1, given.patch, given.stride)
        cut = graph.add("Gather", graph.add("Gather", source, down, axis=0), across, axis=2)
        patches = graph.add("Transpose", cut, perm=[0, 2, 1, 3, 4])
        rows = graph.add("Reshape", patches, np.array([-1, width]))
        return source, (None, None, front.channels), rows, (n_down, n_across)
    source = "samples"
    signal = source if front.form == "waveform" else _log_mel(graph, front, source)
    places, _ = _places(graph, signal, 0, given.length, given.hop)
    windows = graph.add("Gather", signal, places, axis=0)
    return source, (None, front.channels), graph.add("Reshape", windows, np.array([-1, width])), ()


def _places(graph: Graph, array: str, axis: int, length: int, hop: int) -> tuple[str, str]:
    """Return the places of windows on an axis, (n, length), and their number, (1,)."""
    size = graph.add("Gather", graph.add("Shape", array), np.array([axis]), axis=0)
    number = graph.add("Div", graph.add("Add", size, np.array([hop - length])), np.array([hop]))
    number = graph.add("Max", number, np.array([0]))
    starts = graph.add("Range", 0, graph.add("Squeeze", number, np.array([0])), 1)
    starts = graph.add("Unsqueeze", graph.add("Mul", starts, hop), np.array([1]))
    return graph.add("Add", starts, np.arange(length)), number


def _log_mel(graph: Graph, front: Front, source: str) -> str:
    """Return the log-mel of samples (n, 1): (frames, n_mels); NaN where a sample cannot be used."""
    mel = Mel.of(front)
    samples = graph.add("Squeeze", source, np.array([1]))
    places, _ = _places(graph, samples, 0, mel.window, mel.shift)
    stretches = graph.add("Gather", samples, places, axis=0)
    centred = graph.add("Sub", stretches, graph.add("ReduceMean", stretches, axes=[1], keepdims=1))
    parts = [graph.add("MatMul", centred, part.T) for part in mel.transforms()]
    power = graph.add("Add", *(graph.add("Mul", part, part) for part in parts))
    bands = graph.add("Log", graph.add("Max", graph.add("MatMul", power, mel.bands.T), FLOOR))
    usable = graph.add("Less", graph.add("Abs", stretches), LARGEST_SAMPLE)
    spoilt = graph.add("Where", usable, 0.0, np.nan)
    return graph.add("Add", bands, graph.add("ReduceSum", spoilt, np.array([1]), keepdims=1))


def _encode(graph: Graph, one: Subject, rows: str) -> str:
    """Return the features of rows (n, K); NaN where a row is not finite."""
    affine = Affine.of(one.encoder)
    spoilt = graph.add("ReduceSum", graph.add("Mul", rows, 0.0), np.array([1]), keepdims=1)
    if one.centred:
        rows = graph.add("Sub", rows, graph.add("ReduceMean", rows, axes=[1], keepdims=1))
    if affine.mean is not None:
        rows = graph.add("Sub", rows, affine.mean)
    z = graph.add("Add", graph.add("MatMul", rows, affine.first.T), affine.bias)
    if affine.second is not None:
        z = graph.add("MatMul", z, affine.second.T)
    return graph.add("Add", _output(graph, z, one.encoder.output), spoilt)


def _output(graph: Graph, z: str, output: str) -> str:
    if output == "halves":
        return graph.add("Concat", graph.add("Relu", z), graph.add("Relu", graph.add("Neg", z)), axis=1)
    if output == "log":
        return graph.add("Log", graph.add("Add", graph.add("Abs", z), LOG_FLOOR))
    if output == "rate":
        gain = graph.add("Sigmoid", z)
        return graph.add("Mul", graph.add("Mul", gain, gain), 0.25)
    return z
