"""`onnx:FOLDER` runs what it understands exactly and refuses the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support import Support

from tacita.errors import ConfigError
from tacita.models import open_embedder
from tacita.models.folder import OnnxFolder
from tacita.ports.models import checked_embed

supports = Support("embedders", ("onnx",), "ONNX models made by the test", "live", ("onnxruntime",))

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog", "red"]
TABLE = np.array([[9, 9, 9], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0], [0, 2, 0], [0, 0, 2]], np.float32)


def write_model(path: Path, *, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), pooled: bool = False) -> None:
    """A model whose word-piece vectors are rows of a table; what the mask must hide is the [PAD] row."""
    kind = TensorProto.INT64
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "s", 3])]
    if pooled:
        nodes.append(helper.make_node("ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0))
        outputs.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["b", 3]))
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(name, kind, ["b", "s"]) for name in inputs],
        outputs,
        [numpy_helper.from_array(TABLE, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def write(folder: Path, settings: dict[str, Any]) -> None:
    for name, content in settings.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def tokenizer(words: list[str]) -> dict[str, Any]:
    vocabulary = {word: i for i, word in enumerate(words)}
    special = [{"SpecialToken": {"id": t, "type_id": 0}} for t in ("[CLS]", "[SEP]")]
    return {
        "version": "1.0",
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special[0], {"Sequence": {"id": "A", "type_id": 0}}, special[1]],
            "pair": [],
            "special_tokens": {t: {"id": t, "ids": [vocabulary[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")},
        },
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exported"
    write_model(made / "model.onnx")
    write(
        made,
        {
            "tokenizer.json": tokenizer(WORDS),
            "1_Pooling/config.json": {"word_embedding_dimension": 3, "pooling_mode_mean_tokens": True},
            "sentence_bert_config.json": {"max_seq_length": 6},
            "modules.json": [{"type": "sentence_transformers.models.Transformer"}],
        },
    )
    return made


def unit(*row: float) -> list[float]:
    return [float(x) for x in np.array(row) / np.linalg.norm(row)]


def test_mean_pooling_over_the_pieces_and_not_the_padding(folder: Path) -> None:
    embedder = open_embedder(f"onnx:{folder}", models_dir=Path("unused"))
    assert embedder is not None
    rows = checked_embed(embedder, ["cat", "cat dog red", "never seen"])
    expected = [unit(2, 1, 1), unit(2, 3, 3), unit(2, 1, 1)]
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_texts_are_cut_at_max_seq_length(folder: Path) -> None:
    rows = OnnxFolder(folder).embed(["cat cat cat cat dog", "cat cat cat cat"])
    np.testing.assert_allclose(rows[0], rows[1])


def test_cls_pooling(folder: Path) -> None:
    write(folder, {"1_Pooling/config.json": {"word_embedding_dimension": 3, "pooling_mode_cls_token": True}})
    np.testing.assert_allclose(OnnxFolder(folder).embed(["cat dog"]), [[0, 1, 0]])


def test_what_the_exporter_pooled_is_taken_as_it_is(folder: Path) -> None:
    write_model(folder / "model.onnx", pooled=True)
    np.testing.assert_allclose(OnnxFolder(folder).embed(["cat"]), [unit(2, 1, 1)], atol=1e-6)


def test_the_model_may_lie_one_folder_down_and_use_token_types(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    write_model(folder / "onnx" / "model.onnx", inputs=("input_ids", "attention_mask", "token_type_ids"))
    assert OnnxFolder(folder).embed(["cat"]).shape == (1, 3)


def test_the_name_is_made_of_the_content_and_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    name = OnnxFolder(folder).name
    assert OnnxFolder(Path(shutil.copytree(folder, tmp_path / "moved"))).name == name
    names = {name}
    changes: list[dict[str, Any]] = [
        {"sentence_bert_config.json": {"max_seq_length": 7}},
        {"1_Pooling/config.json": {"word_embedding_dimension": 3, "pooling_mode_cls_token": True}},
        {"tokenizer.json": tokenizer([*WORDS, "blue"])},
    ]
    for change in changes:
        write(folder, change)
        names.add(OnnxFolder(folder).name)
    write_model(folder / "model.onnx", pooled=True)
    names.add(OnnxFolder(folder).name)
    assert len(names) == 5
    assert all(n.startswith("onnx:") and "/" in n and str(tmp_path) not in n for n in names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"1_Pooling/config.json": {"word_embedding_dimension": 3}}, "mean or cls"),
        (
            {"1_Pooling/config.json": {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}},
            "mean or cls",
        ),
        ({"1_Pooling/config.json": {"pooling_mode": "lasttoken"}}, "mean or cls"),
        ({"1_Pooling/config.json": {"pooling_mode_mean_tokens": True}}, "gives the dimensions"),
        ({"1_Pooling/config.json": "not json"}, "is not what"),
        ({"1_Pooling/config.json": []}, "is not what"),
        ({"modules.json": [{"type": "sentence_transformers.models.Dense"}]}, "not supported: Dense"),
        ({"modules.json": {"type": "Transformer"}}, "is not what"),
        ({"config_sentence_transformers.json": {"default_prompt_name": "query"}}, "prompt"),
        ({"sentence_bert_config.json": {"max_seq_length": "long"}}, "max_seq_length"),
        ({"tokenizer.json": {}}, "does not describe a tokenizer"),
    ],
)
def test_what_it_cannot_run_exactly_is_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    write(folder, settings)
    with pytest.raises(ConfigError, match=message):
        OnnxFolder(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not hold tokenizer\.json and model\.onnx or onnx/model\.onnx"):
        OnnxFolder(tmp_path / "nowhere")


def test_a_model_with_other_inputs_is_refused(folder: Path) -> None:
    write_model(folder / "model.onnx", inputs=("input_ids", "pixel_values"))
    with pytest.raises(ConfigError, match="other inputs"):
        OnnxFolder(folder).load()


def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(ConfigError, match="cannot run the model"):
        OnnxFolder(folder).load()


def test_weights_in_another_file_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name would not cover them, and onnxruntime would look for them in the current folder."""
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").is_file()
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="cannot run the model"):
        OnnxFolder(folder).load()


def test_a_model_that_changes_after_it_was_opened_is_refused(folder: Path) -> None:
    embedder = OnnxFolder(folder)
    write_model(folder / "model.onnx", pooled=True)
    with pytest.raises(ConfigError, match="changed since"):
        embedder.embed(["cat"])
