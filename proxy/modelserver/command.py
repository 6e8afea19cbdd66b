"""The command `provider`: loads models and serves them until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.ground.sessions import HEAD_LIMITS
from proxy.modelserver.packages import PackageError, cache_folder

if TYPE_CHECKING:
    from proxy.modelserver.server import ModelServer

EMBEDDERS: Final = ("all-minilm-l6-v2", "e5-small-v2")
CHAT: Final = "smollm2-135m-instruct"
SHUTDOWN: Final = 3.0  # seconds for requests that are running
EXTRA: Final = "pip install '.[local]'"
GGUF: Final = b"GGUF"  # how a file of llama.cpp begins


def run(arguments: list[str], program: str) -> int:
    """Run the command; the exit code. program: what it was called by."""
    options = _parser(program).parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(_serve(_load(options), options.listen))
    except ModuleNotFoundError as error:
        say(
            f"error: the local models need {error.name}, which the extra [local] brings: "
            f"{EXTRA} in the proxy's folder"
        )
        return 1
    except PackageError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        what = f"[{error.filename}] " if error.filename else ""
        say(f"error: {what}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(text: str) -> None:
    """Report progress on standard error, which is shown at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Serve small models in Hugging Face's wire formats.",
    )
    add = parser.add_argument
    add("--listen", type=_address, default=("127.0.0.1", 9281), metavar="HOST:PORT")
    add("--models", type=Path, metavar="DIR", help="where the weights are kept")
    add(
        "--embedding-model",
        action="append",
        metavar="MODEL",
        help="a folder, a Hugging Face model id, or one of "
        f"{', '.join(EMBEDDERS)}; may be repeated, the first one is served at /embed",
    )
    add("--rerank-model", metavar="MODEL", help="a cross-encoder: a folder or a model id")
    add("--chat-model", type=Path, metavar="FILE", help="a GGUF file instead of SmolLM2")
    add("--no-chat", action="store_true", help="serve no chat model")
    add("--api-key", metavar="KEY", help="the Bearer token that requests must carry")
    add("--max-client-batch-size", type=_positive, default=32, metavar="N")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"[{text}] is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"[{text}] is not a number of 1 or more")
    return int(text)


def _load(options: argparse.Namespace) -> ModelServer:
    """Load every model. The chat model's file is looked at first, as the others take long.

    Raises: PackageError, OSError; ModuleNotFoundError without the extra `local`.
    """
    from proxy.modelserver.models import PACKAGED, find_model, name_of
    from proxy.modelserver.server import ModelServer
    from proxy.modelserver.transformer import BadModel, CrossEncoder, EmbeddingModel

    if options.chat_model is not None:
        _check_gguf(options.chat_model)
    cache = options.models or cache_folder() / "models"
    find = partial(find_model, cache=cache, say=say, packages=PACKAGED)
    try:
        server = ModelServer(
            embedders={
                name_of(model): EmbeddingModel(*find(model))
                for model in options.embedding_model or EMBEDDERS
            },
            api_key=options.api_key,
            max_batch=options.max_client_batch_size,
        )
        if options.rerank_model is not None:
            server.reranker = CrossEncoder(*find(options.rerank_model))
    except BadModel as error:
        raise PackageError(str(error)) from error
    if not options.no_chat:
        from proxy.modelserver.chat import ChatModel

        weights, model_id = options.chat_model, str(options.chat_model)
        if weights is None:
            folder, model_id = find(CHAT)
            weights = folder / "model.gguf"
        _check_gguf(weights)
        try:
            server.chat = ChatModel(weights, model_id)
        except RuntimeError:  # whose text says nothing
            raise PackageError(
                f"llama.cpp cannot load [{weights}]: it is incomplete, of a kind that this "
                "version does not know, or too large for the memory"
            ) from None
    return server


def _check_gguf(weights: Path) -> None:
    """Raises: PackageError for a file that is none of llama.cpp; OSError."""
    with weights.open("rb") as file:
        if file.read(len(GGUF)) != GGUF:
            raise PackageError(f"[{weights}] is no GGUF file, which is what --chat-model takes")


async def _serve(server: ModelServer, address: tuple[str, int]) -> None:
    from proxy.modelserver.server import make_app

    runner = web.AppRunner(
        make_app(server),
        handler_cancellation=True,  # a client that disconnects ends its generation
        access_log=None,
        shutdown_timeout=SHUTDOWN,
        **HEAD_LIMITS,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.setup()
    try:
        host, port = address
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise PackageError(f"cannot listen on [{host}:{port}]: {reason}") from None
        host, port = runner.addresses[0][:2]
        say(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()
