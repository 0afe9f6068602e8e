"""Rerankers: over Cohere's protocol, a cross-encoder that runs here, and a language model that orders."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.support import Support

from tacita import Memory
from tacita.config import Settings, egress
from tacita.errors import ConfigError
from tacita.models.cross_encoder import CrossEncoder
from tacita.testing.model import ScriptedModel
from tacita.testing.servers import ModelServer


def supports(request: pytest.FixtureRequest) -> Support | None:
    """Of the tests that ask a reranker."""
    name = request.node.originalname
    if name in ("test_over_http", "test_when_it_fails_the_search_says_so_and_goes_on"):
        return Support("rerankers", ("rerank",), "our stand-in", "protocol")
    if "cross_encoder" in name:
        return Support("rerankers", ("cross-encoder",), "an ONNX model made by the test", "live", ("onnxruntime",))
    return None


Opened = Callable[..., Memory]
TALK = [f"note {number}" for number in range(30)] + ["the cat sat on the mat", "write to ana@example.org about the mat"]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made: list[Memory] = []

    def make(model: Any = None, **settings: Any) -> Memory:
        described = {"home": str(tmp_path / "home"), "embedder": "none", **settings}
        made.append(Memory(settings=Settings.load(config=described), model=model))
        made[-1].add(TALK, user_id="ana")
        return made[-1]

    yield make
    for memory in made:
        memory.close()


def test_over_http(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_KEY", "synthetic")
    with ModelServer() as server:
        memory = opened(reranker=f"rerank:rerank-v3.5@{server.url}?key=env:RERANK_KEY")
        found = memory.search("mat cat sat", user_id="ana", top_k=3, explain=True)
        assert len(found) == 3
        assert found[0].text == "the cat sat on the mat"
        assert found[0].score == pytest.approx(1.0)
        assert found[0].signals[-1].name == "rerank"
        assert not found.warnings or "words only" in found.warnings[0]
        (request,) = server.received
        assert request.path == "/v2/rerank"
        sent = json.loads(request.body)
        assert len(sent["documents"]) == 32, "more is looked at than is given"
        assert b"ana@example.org" not in request.body
        assert request.headers["Authorization"] == "Bearer synthetic"
        memory.close()


@pytest.mark.parametrize("behaviour", ["broken", "no_json", "wrong_shape", "refused"])
def test_when_it_fails_the_search_says_so_and_goes_on(opened: Opened, behaviour: str) -> None:
    with ModelServer() as server:
        memory = opened(reranker=f"rerank:m@{server.url}?attempts=1")
        server.will(behaviour)  # type: ignore[arg-type]
        if behaviour == "refused":
            with pytest.raises(ConfigError, match="refused"):
                memory.search("mat", user_id="ana")
        else:
            found = memory.search("mat", user_id="ana", top_k=2)
            assert "mat" in found[0].text
            assert "not reranked (model)" in found.warnings
        memory.close()


def test_without_consent_nothing_is_told(opened: Opened) -> None:
    with ModelServer() as server:
        memory = opened(reranker=f"rerank:m@{server.url}")
        memory.consent(False, user_id="ana")
        found = memory.search("mat", user_id="ana", top_k=2)
        assert "not reranked (access_denied)" in found.warnings
        assert server.received == []
        memory.close()


def test_a_threshold_is_of_the_new_scores(opened: Opened) -> None:
    with ModelServer() as server:
        memory = opened(reranker=f"rerank:m@{server.url}")
        assert [hit.text for hit in memory.search("cat sat", user_id="ana", threshold=0.9)] == [
            "the cat sat on the mat"
        ]
        memory.close()


def test_a_language_model_orders(opened: Opened) -> None:
    model = ScriptedModel(['Sure: ["t2", "t9", "t2", "t99", 3]', "no list", "[1, 2"])
    memory = opened(model, reranker="model")
    plain = memory.search("mat", user_id="ana", top_k=30)
    told = model.told[0][1]
    assert "ana@example.org" not in told
    shown = [line.partition("] ")[2] for line in told.splitlines() if line.startswith("[t")]
    assert [plain[0].text, plain[1].text] == [shown[1], shown[8]]
    for _ in range(2):
        assert "not reranked (model)" in memory.search("mat", user_id="ana").warnings


def test_an_unknown_or_lonely_one_is_refused(tmp_path: Path) -> None:
    for uri, says in (
        ("model", "language model"),
        ("magic:x", "unknown scheme"),
        ("cross-encoder:/nowhere", "tokenizer"),
    ):
        with pytest.raises(ConfigError, match=says):
            Memory(settings=Settings.load(home=tmp_path / "home", config={"reranker": uri, "embedder": "none"}))


def test_it_is_in_the_manifest(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path, config={"reranker": "rerank:rerank-v3.5?key=env:K"})
    assert [(entry["role"], entry["host"]) for entry in egress(settings)] == [("reranker", "api.cohere.com")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose logit is the id of the last word: later words of the vocabulary fit better."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog", "mat"]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
        },
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(words)}, "unk_token": "[UNK]"},
    }
    folder = tmp_path / "cross"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    nodes = [
        helper.make_node("Mul", ["input_ids", "token_type_ids"], ["second"]),
        helper.make_node("ReduceMax", ["second"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Cast", ["largest"], ["raised"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["raised", "middle"], ["logits"]),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "token_type_ids")
    ]
    graph = helper.make_graph(
        nodes,
        "cross",
        ids,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor("middle", TensorProto.FLOAT, [1], [5.0])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    return folder


def test_a_cross_encoder_reads_pairs(folder: Path) -> None:
    scores = CrossEncoder(folder).score("dog", ["a cat", "the mat and a cat", "dog", "nothing"] * 20)
    assert scores.dtype == np.float32
    assert np.allclose(scores[:4], 1 / (1 + np.exp(-np.array([-1.0, 1.0, 0.0, -4.0]))), atol=1e-6)
    assert np.allclose(scores.reshape(20, 4), scores[:4]), "batches change nothing"


def test_a_cross_encoder_in_a_search(opened: Opened, folder: Path) -> None:
    memory = opened(reranker=f"cross-encoder:{folder}")
    memory.consent(False, user_id="ana")
    found = memory.search("anything", user_id="ana", top_k=2)
    assert all("mat" in hit.text for hit in found)
    assert not [warning for warning in found.warnings if "reranked" in warning], "it runs here and asks for no consent"
    assert memory.describe()["egress"] == []
