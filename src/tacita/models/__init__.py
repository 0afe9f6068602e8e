"""Models. Those here run on this machine; those in `remote` are elsewhere and get only what is disclosed to them.

Nothing outside `remote` reaches the network, except `tacita.models.fetch` when it is asked.

Model libraries are imported when an embedder first needs them, not with this package.
"""

from __future__ import annotations

from pathlib import Path

from tacita.errors import ConfigError
from tacita.ports.models import Embedder


def open_embedder(
    uri: str, *, models_dir: Path, path: Path | None = None, threads: int | None = None
) -> Embedder | None:
    """The embedder that `uri` names; None for `none`, which searches by words only.

    Cheap: files are looked for, but the model is loaded by the first `embed` (or `load`).

    Args:
        uri: `local:minilm`, `local:minilm-static`, `onnx:FOLDER` or `none`.
        models_dir: where `tacita models fetch` keeps models.
        path: for a `local:` model, a folder that holds its two files, instead of looking for them.
        threads: threads for one call; by default the processors of this process, at most four.

    Raises:
        ConfigError: an unknown URI, a model that is not on this machine, or an exported model that cannot be used.
    """
    scheme, _, rest = uri.partition(":")
    if uri == "none":
        return None
    if uri == "local:minilm":
        from tacita.models.minilm import MiniLM

        return MiniLM.find(models_dir, path=path, threads=threads)
    if uri == "local:minilm-static":
        from tacita.models.static import StaticMiniLM

        return StaticMiniLM.find(models_dir, path=path)
    if scheme == "onnx" and rest:
        from tacita.models.folder import OnnxFolder

        return OnnxFolder(Path(rest), threads=threads)
    raise ConfigError(f"unknown embedder {uri!r}: use local:minilm, local:minilm-static, onnx:FOLDER or none")
