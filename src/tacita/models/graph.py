"""Writes the ONNX graph of a BERT encoder as bytes. The graph holds no weights: it says where they lie in a checkpoint.

ONNX files are protocol buffers, and the little of that encoding which a graph needs fits on this page; so the graph is
made anew at each load, in a few milliseconds, and the `onnx` package is needed by the tests only.
Field numbers are those of onnx.proto (IR version 9). The operators are onnxruntime's own fused ones, so that no
optimiser pass has to recognise a pattern.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec

FLOAT, INT32 = 1, 6
_EXTERNAL = 1
_IR_VERSION = 9
_OPSETS = (("", 17), ("com.microsoft", 1))
_FUSED = "com.microsoft"


class BertShape(msgspec.Struct, frozen=True):
    """The sizes that the graph is drawn from."""

    layers: int
    heads: int
    hidden: int
    epsilon: float = 1e-12


class Stored(msgspec.Struct, frozen=True):
    """A float32 tensor inside a file that lies in the folder which the session is told."""

    file: str
    offset: int
    length: int
    dims: tuple[int, ...]


def bert_graph(shape: BertShape, weights: Mapping[str, Stored]) -> bytes:
    """An encoder with inputs `ids` int32 (b, s), `lengths` int32 (b,), `shares` float (b, 1, s).

    Outputs are `tokens` (b, s, hidden), the last layer, and `pooled` (b, 1, hidden), its mean weighted by `shares`.
    `weights` has the tensors of a Hugging Face BERT checkpoint under their own names.
    """
    g = _Graph(weights)
    g.node("Sub", ["ids", "ids"], "types", domain="")
    embedded = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
    norm = _norm("embeddings.LayerNorm")
    g.node("EmbedLayerNormalization", ["ids", "types", *embedded, *norm], "x0", "", epsilon=shape.epsilon)
    x = "x0"
    for layer in range(shape.layers):
        x = _layer(g, shape, layer, x, "tokens" if layer == shape.layers - 1 else f"x{layer + 1}")
    g.node("MatMul", ["shares", "tokens"], "pooled", domain="")
    return g.serialise(
        inputs=[("ids", INT32, ("b", "s")), ("lengths", INT32, ("b",)), ("shares", FLOAT, ("b", 1, "s"))],
        outputs=[("tokens", FLOAT, ("b", "s", shape.hidden)), ("pooled", FLOAT, ("b", 1, shape.hidden))],
    )


def _norm(prefix: str) -> list[str]:
    return [f"{prefix}.weight", f"{prefix}.bias"]


def _layer(g: _Graph, shape: BertShape, layer: int, x: str, out: str) -> str:
    def t(name: str) -> str:
        return f"{name}{layer}"

    at = f"encoder.layer.{layer}."
    for part in ("query", "key", "value"):
        # Checkpoints store a linear layer as (out, in); transB lets onnxruntime use it without a transposed copy.
        g.node("FusedMatMul", [x, f"{at}attention.self.{part}.weight"], t(f"{part}.raw"), transB=1)
        g.node("Add", [t(f"{part}.raw"), f"{at}attention.self.{part}.bias"], t(part), domain="")
    g.node(
        "MultiHeadAttention", [t("query"), t("key"), t("value"), "", "lengths"], t("attended"), num_heads=shape.heads
    )
    g.node("FusedMatMul", [t("attended"), f"{at}attention.output.dense.weight"], t("mixed"), transB=1)
    norm = [*_norm(f"{at}attention.output.LayerNorm"), f"{at}attention.output.dense.bias"]
    g.node("SkipLayerNormalization", [t("mixed"), x, *norm], t("middle"), epsilon=shape.epsilon)
    g.node("FusedMatMul", [t("middle"), f"{at}intermediate.dense.weight"], t("wide.raw"), transB=1)
    g.node("BiasGelu", [t("wide.raw"), f"{at}intermediate.dense.bias"], t("wide"))
    g.node("FusedMatMul", [t("wide"), f"{at}output.dense.weight"], t("narrow"), transB=1)
    norm = [*_norm(f"{at}output.LayerNorm"), f"{at}output.dense.bias"]
    g.node("SkipLayerNormalization", [t("narrow"), t("middle"), *norm], out, epsilon=shape.epsilon)
    return out


class _Graph(msgspec.Struct):
    weights: Mapping[str, Stored]
    nodes: list[bytes] = msgspec.field(default_factory=list)
    used: dict[str, bytes] = msgspec.field(default_factory=dict)

    def node(self, op: str, ins: Sequence[str], *outs: str, domain: str = _FUSED, **attributes: float) -> None:
        for name in ins:
            if name in self.weights and name not in self.used:
                self.used[name] = _initializer(name, self.weights[name])
        parts = [*(_text(1, name) for name in ins), *(_text(2, name) for name in outs), _text(4, op)]
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self.nodes.append(b"".join((*parts, _text(7, domain))))

    def serialise(self, inputs: Iterable[_Value], outputs: Iterable[_Value]) -> bytes:
        graph = b"".join(
            (
                *(_bytes(1, node) for node in self.nodes),
                _text(2, "bert"),
                *(_bytes(5, tensor) for tensor in self.used.values()),
                *(_bytes(11, _value(*value)) for value in inputs),
                *(_bytes(12, _value(*value)) for value in outputs),
            )
        )
        opsets = (_bytes(8, _text(1, domain) + _int(2, version)) for domain, version in _OPSETS)
        return b"".join((_int(1, _IR_VERSION), _text(2, "tacita"), _bytes(7, graph), *opsets))


_Value = tuple[str, int, tuple[str | int, ...]]


def _initializer(name: str, stored: Stored) -> bytes:
    place = {"location": stored.file, "offset": str(stored.offset), "length": str(stored.length)}
    elsewhere = b"".join(_bytes(13, _text(1, key) + _text(2, value)) for key, value in place.items())
    sizes = b"".join(_int(1, n) for n in stored.dims)
    return b"".join((sizes, _int(2, FLOAT), _text(8, name), elsewhere, _int(14, _EXTERNAL)))


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return b"".join((_text(1, name), _int(3, value), _int(20, 2)))
    return b"".join((_text(1, name), _varint(2 << 3 | 5), struct.pack("<f", value), _int(20, 1)))


def _value(name: str, kind: int, dims: tuple[str | int, ...]) -> bytes:
    shape = b"".join(_bytes(1, _int(1, d) if isinstance(d, int) else _text(2, d)) for d in dims)
    return _text(1, name) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, shape)))


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
