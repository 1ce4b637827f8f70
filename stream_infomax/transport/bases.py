"""A basis on a tap: its bytes. docs/protocol.md describes them for writers of clients.

A MessagePack map, then five raw payloads: mean, components, mixing, beta, bias, little-endian and in C order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.frame import FrameError
from stream_infomax.state.nesting import NestedError, check_packed
from stream_infomax.transport.messages import Name, Offset

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Version = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{12})?$")]
Axes = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=16)], ...], msgspec.Meta(max_length=8)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stage: Name
    encoder: Text
    version: Version
    previous: Version
    offset: Offset
    output: Literal["potential", "rate", "poisson", "halves", "log"]
    amplitude: Annotated[float, msgspec.Meta(gt=0)]
    seed: int | None
    n_features: Size
    n_components: Size
    stream: Text = ""
    axes: Axes = ()
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=8)] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)
_PLAIN = ("stage", "encoder", "version", "previous", "offset", "output", "amplitude", "seed")
_OPTIONAL = ("stream", "axes", "shape")
_ARRAYS = ("mean", "components", "mixing", "beta", "bias")


def encode(basis: Basis) -> list[bytes]:
    """Return the bytes of a basis: a head and five payloads."""
    n_components, n_features = basis.components.shape
    plain = {name: getattr(basis, name) for name in (*_PLAIN, *(name for name in _OPTIONAL if getattr(basis, name)))}
    head = _encoder.encode({**plain, "n_features": n_features, "n_components": n_components})
    return [head, *(getattr(basis, name).tobytes() for name in _ARRAYS)]


def decode(parts: Sequence[bytes]) -> Basis:
    """Return the basis that `parts` hold; its arrays are read-only views of them.

    Raises
    ------
    FrameError
        Where the parts are anything but one well-formed basis.
    """
    if len(parts) != 1 + len(_ARRAYS):
        raise FrameError("parts", f"a basis has {1 + len(_ARRAYS)} parts, got {len(parts)}")
    try:
        check_packed(parts[0])
        head = _decoder.decode(parts[0])
    except (msgspec.DecodeError, UnicodeDecodeError, NestedError) as error:
        raise FrameError("header", f"not the head of a basis: {error}") from error
    if not math.isfinite(head.amplitude):
        raise FrameError("header", f"amplitude {head.amplitude} must be finite")
    if len(head.axes) != len(head.shape) or (head.shape and math.prod(head.shape) != head.n_features):
        raise FrameError("axes", f"axes {head.axes} and shape {head.shape} are not of {head.n_features} values")
    K, K1 = head.n_features, head.n_components
    shapes = {"mean": (K,), "components": (K1, K), "mixing": (K, K1), "beta": (K1,), "bias": (K1,)}
    arrays: dict[str, Any] = {}
    for name, payload in zip(_ARRAYS, parts[1:], strict=True):
        dtype = np.dtype(np.float64 if name == "mean" else np.float32)
        expected = math.prod(shapes[name]) * dtype.itemsize
        if len(payload) != expected:
            raise FrameError("length", f"{name} of shape {shapes[name]} needs {expected} bytes, got {len(payload)}")
        arrays[name] = np.frombuffer(payload, dtype).reshape(shapes[name])
    return Basis(**{name: getattr(head, name) for name in (*_PLAIN, *_OPTIONAL)}, **arrays)
