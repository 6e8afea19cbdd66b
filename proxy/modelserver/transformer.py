"""Embedding models and cross-encoders, run by ONNX Runtime."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from proxy.modelserver.bodies import BackendFailed, Invalid

Floats = npt.NDArray[np.float32]
Text = str | tuple[str, str]  # cross-encoders take pairs of a query and a text

WEIGHTS: Final = (
    "model.onnx",
    "onnx/model_quantized.onnx",
    "onnx/model_int8.onnx",
    "onnx/model.onnx",
)
DEFAULT_MAX_LENGTH: Final = 512  # tokens
BATCH: Final = 32


class BadModel(Exception):
    """A folder has no model that can be run."""


class Encoder:
    """The tokenizer and ONNX session of one model; its threads keep the event loop free."""

    def __init__(self, folder: Path) -> None:
        weights = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
        if weights is None or not (folder / "tokenizer.json").exists():
            names = ", ".join(WEIGHTS)
            raise BadModel(f"{folder} needs tokenizer.json and one of {names}")
        self.max_length = _max_length(folder)
        with _reading(folder / "tokenizer.json") as file:
            self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._truncating_tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        self._truncating_tokenizer.enable_truncation(self.max_length)
        # Dynamic quantisation scales all texts of a batch alike, so that a text's result depends
        # on its neighbours (MiniLM: cosine 0.98). Such models get one text at a time.
        quantizes = b"DynamicQuantizeLinear" in weights.read_bytes()
        self._batch = 1 if quantizes else BATCH
        with _reading(weights):
            self._session = _session(weights, threads=1 if quantizes else 0)
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=folder.name)

    async def encode(
        self, texts: Sequence[Text], *, truncate: bool
    ) -> list[tuple[Floats, npt.NDArray[np.int64]]]:
        """The model's first output and the attention mask of each batch, in order.

        Raises: Invalid if a text is too long and `truncate` is off; BackendFailed.
        """
        loop = asyncio.get_running_loop()
        encodings = await loop.run_in_executor(self._pool, self._tokenize, texts, truncate)
        batches = [encodings[n : n + self._batch] for n in range(0, len(texts), self._batch)]
        runs = (loop.run_in_executor(self._pool, self._run, batch) for batch in batches)
        return await asyncio.gather(*runs)

    def _tokenize(self, texts: Sequence[Text], truncate: bool) -> list[Encoding]:
        encodings = (self._truncating_tokenizer if truncate else self._tokenizer).encode_batch(
            list(texts)
        )
        for encoding in encodings:
            if len(encoding) > self.max_length:
                rule = f"`inputs` must have less than {self.max_length} tokens"
                raise Invalid(f"Input validation error: {rule}. Given: {len(encoding)}")
        return encodings

    def _run(self, encodings: Sequence[Encoding]) -> tuple[Floats, npt.NDArray[np.int64]]:
        shape = len(encodings), max(map(len, encodings))
        names = ("input_ids", "attention_mask", "token_type_ids")
        fields = {name: np.zeros(shape, np.int64) for name in names}
        for row, encoding in enumerate(encodings):
            end = len(encoding)
            fields["input_ids"][row, :end] = encoding.ids
            fields["attention_mask"][row, :end] = 1
            fields["token_type_ids"][row, :end] = encoding.type_ids
        feed = {name: values for name, values in fields.items() if name in self._inputs}
        try:
            output = self._session.run(None, feed)[0]
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            raise BackendFailed(f"Inference failed: {error}") from error
        return output, fields["attention_mask"]

    def close(self) -> None:
        """Stop the threads; work that has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)


class EmbeddingModel:
    """Turns texts into vectors."""

    def __init__(self, folder: Path, model_id: str) -> None:
        self.model_id = model_id
        self.encoder = Encoder(folder)
        self.pooling = _pooling(folder)

    async def embed(self, texts: Sequence[str], *, truncate: bool, normalize: bool) -> Floats:
        """One vector per text, in order; of length 1 if `normalize`.

        Raises: Refused.
        """
        pool = _cls if self.pooling == "cls" else _mean
        batches = await self.encoder.encode(texts, truncate=truncate)
        vectors = np.concatenate([pool(output, mask) for output, mask in batches])
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, 1e-12)
        return vectors.astype(np.float32)

    async def rank(
        self, query: str, texts: Sequence[str], *, truncate: bool, raw_scores: bool
    ) -> list[float]:
        """A score per text, in order: from 0 to 1, or the cosine to the query if `raw_scores`."""
        vectors = await self.embed([query, *texts], truncate=truncate, normalize=True)
        cosines = vectors[1:] @ vectors[0]
        return [float(score) for score in (cosines if raw_scores else (1 + cosines) / 2)]


class CrossEncoder:
    """Scores pairs of a query and a text."""

    def __init__(self, folder: Path, model_id: str) -> None:
        self.model_id = model_id
        self.encoder = Encoder(folder)

    async def rank(
        self, query: str, texts: Sequence[str], *, truncate: bool, raw_scores: bool
    ) -> list[float]:
        """A score per text, in order: the sigmoid of the logit, or the logit if `raw_scores`."""
        pairs = [(query, text) for text in texts]
        batches = await self.encoder.encode(pairs, truncate=truncate)
        logits = np.concatenate([output for output, _ in batches])
        if logits.shape != (len(texts), 1):
            raise BackendFailed("Inference failed: model is not a re-ranker model")
        scores = logits[:, 0].astype(np.float64)
        return [float(score) for score in (scores if raw_scores else 1 / (1 + np.exp(-scores)))]


def _session(weights: Path, threads: int) -> onnxruntime.InferenceSession:
    """The loaded model; `threads` 0 means one per core."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take cores from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def _mean(output: Floats, mask: npt.NDArray[np.int64]) -> Floats:
    """The mean over the tokens that are not padding: (texts, tokens, n) becomes (texts, n)."""
    weights = mask[:, :, np.newaxis].astype(np.float32)
    mean: Floats = (output * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def _cls(output: Floats, _: npt.NDArray[np.int64]) -> Floats:
    first: Floats = output[:, 0]
    return first


def _max_length(folder: Path) -> int:
    """The most tokens of a text. Source: the files of sentence-transformers and transformers."""
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("config.json", "max_position_embeddings"),
    ):
        length = _settings(folder / file).get(key)
        if isinstance(length, int):
            return length
    return DEFAULT_MAX_LENGTH


def _pooling(folder: Path) -> str:
    settings = _settings(folder / "1_Pooling/config.json")
    if settings.get("pooling_mode_cls_token"):
        return "cls"
    if settings and not settings.get("pooling_mode_mean_tokens"):
        raise BadModel(f"{folder}: only mean and cls pooling are supported")
    return "mean"


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    with _reading(path) as file:
        return dict(json.loads(file.read_text("utf-8")))


@contextmanager
def _reading(file: Path) -> Iterator[Path]:
    """Raises: BadModel for whatever a library raises about the file; OSError."""
    try:
        yield file
    except OSError:
        raise
    except Exception as error:  # tokenizers raise no other
        reason = str(error).rpartition("failed:")[2].strip().partition("\n")[0]
        raise BadModel(f"[{file}] cannot be used: {reason}") from error
