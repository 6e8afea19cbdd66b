"""The processes of the tour: started in order, and always ended."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from demo.show import Screen, duration
from proxy.config import ALIASES, PREFIX, UpstreamConfig, load_config
from testbed.elasticsearch import start
from testbed.processes import Server, proxy_command

PROVIDER_TIMEOUT: Final = 900.0  # seconds; the first start fetches the models
PROXY_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 10.0
# Settings for a proxy of the user's own, which the tour's must not see.
FOREIGN: Final = (PREFIX, *ALIASES, "HF_TOKEN")


class Unreachable(Exception):
    """The user's own Elasticsearch cannot be used; the text says why, and what to do."""


class Part(Server):
    """A process `python -m proxy …`; its output is copied to the file `log`."""

    def __init__(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], log: Path):
        self.title = name
        self._log = log
        self._began = time.time()
        command = proxy_command(*arguments)
        super().__init__(command, environ, name=f"the {name}", log=log)

    @property
    def took(self) -> float:
        """Seconds from its start to its last line of output."""
        return max(0.0, self._log.stat().st_mtime - self._began)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The Elasticsearch of the tour: started for it, or the user's own."""

    url: str
    version: str | None  # None: not started here
    config: UpstreamConfig  # credentials and TLS, if it is the user's own

    def credentials(self) -> dict[str, Any]:
        """Arguments for a client of it, or of the proxy in front of it."""
        if self.config.api_key:
            return {"api_key": self.config.api_key}
        if self.config.username:
            return {"basic_auth": (self.config.username, self.config.password or "")}
        return {}

    def client(self) -> Elasticsearch:
        """A client that is connected directly."""
        tls: dict[str, Any] = {}
        if self.url.startswith("https:"):
            tls["verify_certs"] = tls["ssl_show_warn"] = self.config.verify
            if self.config.ca_file is not None:
                tls["ca_certs"] = str(self.config.ca_file)
        return Elasticsearch(self.url, request_timeout=30, **self.credentials(), **tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The running processes, and their URLs."""

    target: Target
    provider: str
    proxy: str
    children: Sequence[Part]

    def check(self) -> None:
        """Raises: ProcessFailed if one has ended by itself."""
        for child in self.children:
            child.check()


@contextmanager
def running_parts(screen: Screen, folder: Path) -> Iterator[Parts]:
    """Elasticsearch, the local provider and the proxy, each shown as soon as it is up.

    Logs and the proxy's state go into `folder`. Raises: JavaMissing, PackageError, StartFailed,
    ProcessFailed, Unreachable, ConfigError.
    """
    with ExitStack() as stack:
        environ = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
        environ |= {"XDG_STATE_HOME": str(folder / "state"), "HFPROXY_LOG_FORMAT": "text"}
        # It loads its models while Elasticsearch starts.
        command: tuple[str, ...] = ("provider", "--listen", "127.0.0.1:0")
        log = folder / "provider.log"
        provider = stack.enter_context(_part("local provider", command, environ, log))
        target = stack.enter_context(_elasticsearch(screen, folder, provider))
        provider_url = _await(screen, provider, PROVIDER_TIMEOUT)
        if target.version is None:
            environ |= _upstream_environ()
            environ["HFPROXY_STORE_INDEX"] = stack.enter_context(_store_index(target))
        command = ("serve", "--upstream", target.url, "--listen", "127.0.0.1:0")
        command += ("--store", "elasticsearch")
        proxy = stack.enter_context(_part("proxy", command, environ, folder / "proxy.log"))
        yield Parts(
            target=target,
            provider=provider_url,
            proxy=_await(screen, proxy, PROXY_TIMEOUT),
            children=[provider, proxy],
        )


@contextmanager
def _part(
    name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
) -> Iterator[Part]:
    part = Part(name, command, environ, log)
    try:
        yield part
    finally:
        part.stop(STOP_TIMEOUT)


def _await(screen: Screen, part: Part, timeout: float) -> str:
    """Wait until a part listens; its URL."""
    with screen.working(part.title) as say:
        part.wait_until_listening(timeout, lambda line: say(f"{part.title}: {line}"))
    _show_part(screen, part.title, part.url, part.took)
    return part.url


@contextmanager
def _elasticsearch(screen: Screen, folder: Path, provider: Part) -> Iterator[Target]:
    """The one that the environment names, or one that runs until the block ends.

    Its start is given up if the provider fails meanwhile.
    """
    config = load_config(None, _upstream_environ()).upstream
    began = time.monotonic()
    if config.url is not None:
        target = Target(url=config.url, version=None, config=config)
        _check_reachable(target)
        _show_part(screen, "Elasticsearch", f"{config.url}  (yours)", time.monotonic() - began)
        yield target
        return
    with screen.working("Elasticsearch") as show:

        def say(text: str) -> None:
            provider.check()
            show(text)

        running = start(port=0, say=say)
    name = f"Elasticsearch {running.version}"
    _show_part(screen, name, running.url, time.monotonic() - began)
    try:
        yield Target(url=running.url, version=running.version, config=UpstreamConfig())
    finally:
        with suppress(OSError):  # only a help after a failure
            shutil.copyfile(running.log, folder / "elasticsearch.log")
        running.stop()


def _upstream_environ() -> dict[str, str]:
    """The variables about the user's own Elasticsearch."""
    names = (*ALIASES, f"{PREFIX}UPSTREAM_")
    return {name: text for name, text in os.environ.items() if name.startswith(names)}


def _check_reachable(target: Target) -> None:
    try:
        with target.client() as client:
            client.cluster.health()
    except (ApiError, TransportError) as error:
        raise Unreachable(
            f"the Elasticsearch that ELASTICSEARCH_URL names [{target.url}] does not serve: "
            f"{error}. Without that variable one is started here; with security on, "
            "ELASTIC_API_KEY is needed"
        ) from error


@contextmanager
def _store_index(target: Target) -> Iterator[str]:
    """The name of an index in the user's Elasticsearch, which is deleted when the block ends."""
    name = f"hugging-face-tour-{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        with target.client() as client:
            client.options(ignore_status=404).indices.delete(index=name)


def _show_part(screen: Screen, name: str, url: str, seconds: float) -> None:
    screen.table([[f"{name:<20}", f"{url:<40}", f"{duration(seconds):>7}"]])
