"""The graph that is written by hand is what the ONNX tools understand."""

from __future__ import annotations

import numpy as np
import onnx

from tacita.models.graph import BertShape, Stored, bert_graph

SHAPE = BertShape(layers=2, heads=4, hidden=16)


def weights() -> dict[str, Stored]:
    dims: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (300, 16),
        "embeddings.position_embeddings.weight": (64, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
        "embeddings.LayerNorm.weight": (16,),
        "embeddings.LayerNorm.bias": (16,),
        "pooler.dense.weight": (16, 16),
    }
    for layer in range(SHAPE.layers):
        at = f"encoder.layer.{layer}."
        parts = [(f"attention.self.{p}", 16, 16) for p in ("query", "key", "value")]
        parts += [("attention.output.dense", 16, 16), ("intermediate.dense", 64, 16), ("output.dense", 16, 64)]
        for name, out, into in parts:
            dims |= {f"{at}{name}.weight": (out, into), f"{at}{name}.bias": (out,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            dims |= {f"{at}{name}.weight": (16,), f"{at}{name}.bias": (16,)}
    offset, found = 1000, {}
    for name, size in dims.items():
        length = 4 * int(np.prod(size))
        found[name] = Stored("checkpoint", offset, length, size)
        offset += length
    return found


def test_the_onnx_package_reads_what_was_written() -> None:
    model = onnx.load_model_from_string(bert_graph(SHAPE, weights()))
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (
        9,
        [("", 17), ("com.microsoft", 1)],
    )
    # Parsed and written again it is the same bytes: no field was misplaced or left unknown.
    assert model.SerializeToString() == bert_graph(SHAPE, weights())
    assert [(i.name, i.type.tensor_type.elem_type) for i in model.graph.input] == [
        ("ids", onnx.TensorProto.INT32),
        ("lengths", onnx.TensorProto.INT32),
        ("shares", onnx.TensorProto.FLOAT),
    ]
    assert [o.name for o in model.graph.output] == ["tokens", "pooled"]


def test_weights_are_named_where_they_lie_and_unused_ones_are_left_out() -> None:
    stored = weights()
    graph = onnx.load_model_from_string(bert_graph(SHAPE, stored)).graph
    assert {i.name for i in graph.initializer} == set(stored) - {"pooler.dense.weight"}
    for tensor in graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        expected = stored[tensor.name]
        assert tuple(tensor.dims) == expected.dims
        assert place == {"location": "checkpoint", "offset": str(expected.offset), "length": str(expected.length)}


def test_every_edge_leads_somewhere() -> None:
    graph = onnx.load_model_from_string(bert_graph(SHAPE, weights())).graph
    known = {i.name for i in graph.input} | {i.name for i in graph.initializer} | {""}
    for node in graph.node:
        assert set(node.input) <= known, node.op_type
        known |= set(node.output)
    assert {o.name for o in graph.output} <= known
    attributes = {a.name: onnx.helper.get_attribute_value(a) for node in graph.node for a in node.attribute}
    assert attributes == {"epsilon": np.float32(1e-12), "transB": 1, "num_heads": 4}
