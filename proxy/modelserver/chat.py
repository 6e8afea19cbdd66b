"""The chat model: llama.cpp's OpenAI-compatible server, on a loopback port of this process."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import xllamacpp

SLOTS: Final = 4  # concurrent chats
CONTEXT: Final = 2048  # tokens of each chat
DEFAULT_MAX_TOKENS: Final = 128  # unless a request says otherwise; a small model may never stop


class ChatModel:
    """A running llama.cpp server, which stops when this object is collected."""

    def __init__(self, weights: Path, model_id: str) -> None:
        self.model_id = model_id
        self._token = secrets.token_hex(16)  # keeps other programs on this machine out
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.model_alias = {model_id}
        params.port = 0
        params.api_keys = [self._token]
        params.n_parallel = SLOTS
        params.n_ctx = SLOTS * CONTEXT
        params.n_predict = DEFAULT_MAX_TOKENS
        # The threads wait for each other at every step, so one that shares its core slows down
        # all (measured on two cores: 40 tokens/s with one thread, 3 with two).
        params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 2)
        params.cpuparams.poll = 0  # waiting threads sleep instead of spinning
        params.verbosity = -1
        self._server = xllamacpp.Server(params)

    @property
    def url(self) -> str:
        return f"{self._server.listening_address}/v1/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request to `url` needs."""
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
