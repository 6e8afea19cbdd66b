"""A real Elasticsearch on this machine, started and stopped.

`python -m testbed.elasticsearch --port 9200` runs one in the foreground.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.modelserver.packages import PackageError, Say, cache_folder
from testbed.distribution import (
    DEFAULT_VERSION,
    JAVA,
    VERSIONS,
    best_version,
    distribution,
    major,
    with_plugins,
)
from testbed.java import JavaMissing, find_java
from testbed.node import QUICK, Node, StartFailed

# Three processes of tests share one; with half of this its memory breaker refused some requests.
JAVA_OPTIONS: Final = f"-Xms512m -Xmx1g {QUICK}"
USER: Final = ("admin", "changeme")  # of the command; the names of built-in users are reserved
START_TIMEOUT: Final = 180.0  # seconds
STOP_TIMEOUT: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elasticsearch:
    """An Elasticsearch that runs on this machine, whoever started it."""

    url: str
    version: str
    log: Path
    pid: int  # of its process group, too
    data: Path
    authority: Path | None = None  # a file with the certificate that clients trust, if it is https

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningElasticsearch(Elasticsearch):
    """One that this process started; it ends with `stop`, or with this process."""

    _child: subprocess.Popen[bytes] = field(repr=False)
    _folder: Path = field(repr=False)

    def stop(self) -> None:
        """End it and remove its folder, log included; `data` stays if it was given to `start`."""
        atexit.unregister(self.stop)
        _end(self._child, self._folder)

    def kill(self) -> None:
        """Kill it at once, as a crash would; `stop` still has to be called."""
        os.killpg(self.pid, signal.SIGKILL)
        _has_ended(self._child)

    def wait(self) -> int:
        """Its exit code, once it ends by itself."""
        return self._child.wait()


def start(
    *,
    port: int = 0,
    version: str = DEFAULT_VERSION,
    secured: bool = False,
    stock: bool = False,
    processors: bool = False,
    users: Mapping[str, tuple[str, str]] | None = None,
    roles: str | None = None,
    settings: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    secure_settings: Mapping[str, str] | None = None,
    data: Path | None = None,
    java_options: str = JAVA_OPTIONS,
    say: Say = print,
) -> RunningElasticsearch:
    """Fetch, unpack and start an Elasticsearch; it is healthy when this returns.

    port: 0 takes a free one. secured: security without TLS, with `users` (name to password and
    role, comma-separated for several) and `roles` (the text of roles.yml) in the file realm, and
    with API keys (from 8.19 on). stock: the same with TLS, as Elasticsearch sets both up by itself;
    `elastic` has no password until one is set. processors: with the ingest processors of
    testbed/plugin, where the distribution has none (from 8 on). settings: more of
    elasticsearch.yml. files: more of its folder, by their paths; with `certs/http_ca.crt`,
    which clients trust, it is https.
    secure_settings: those of its keystore. data: a folder to keep between starts, which the user
    `nobody` must be able to reach under root. java_options: memory, and how much the compiler may
    do.
    Raises: JavaMissing, PackageError, StartFailed.
    """
    secured = secured or stock
    needs_plugins = (secured or processors) and major(version) >= 8
    java = find_java(*JAVA[major(version)], compiler=needs_plugins)
    home = distribution(version, say)
    if needs_plugins:
        home = with_plugins(home, version, java, say)
    folder = Path(tempfile.mkdtemp(dir=cache_folder(), prefix=f"node-{version}-"))
    try:
        health = ("health", secrets.token_hex(16))
        node = Node(
            folder=folder,
            data=data or folder / "data",
            home=home,
            major=major(version),
            stock=stock,
        )
        node.configure(port, secured, settings or {})
        if secured:
            node.write_users({**(users or {}), health[0]: (health[1], "superuser")}, roles)
        for path, text in (files or {}).items():
            file = node.config / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        if secure_settings:
            node.write_keystore(secure_settings, java)
        node.hand_over()
        child = node.launch(java, java_options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        url = _wait_until_healthy(node, child, health if secured else None, version, say)
    except BaseException:
        _end(child, folder)
        raise
    running = RunningElasticsearch(
        url=url, version=version, log=node.log, pid=child.pid, data=node.data, _child=child,
        authority=node.authority if node.authority.exists() else None, _folder=folder,
    )  # fmt: skip
    atexit.register(running.stop)
    return running


def _wait_until_healthy(
    node: Node,
    child: subprocess.Popen[bytes],
    user: tuple[str, str] | None,
    version: str,
    say: Say,
) -> str:
    """The address of the node, once its cluster can be used. Raises: StartFailed."""
    began = time.monotonic()
    last_told = began
    say(f"Starting Elasticsearch {version}")
    while child.poll() is None and time.monotonic() - began < START_TIMEOUT:
        url = node.url()
        if url is not None and _is_healthy(url, user, node.authority):
            say(f"Elasticsearch {version} is up on {url} ({time.monotonic() - began:.0f} s)")
            return url
        if time.monotonic() - last_told >= 5:
            last_told = time.monotonic()
            say(f"  still starting ({last_told - began:.0f} s)")
        time.sleep(0.2)
    state = f"took over {START_TIMEOUT:.0f} s" if child.poll() is None else "ended"
    tail = "\n".join(node.log.read_text(errors="replace").splitlines()[-15:])
    raise StartFailed(f"Elasticsearch {version} {state} instead of starting:\n{tail}")


def _is_healthy(url: str, user: tuple[str, str] | None, authority: Path) -> bool:
    request = urllib.request.Request(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s")
    if user is not None:
        pair = base64.b64encode(":".join(user).encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=authority)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    direct = urllib.request.build_opener(*handlers)
    try:
        with direct.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(child: subprocess.Popen[bytes], folder: Path) -> None:
    """End the whole process group, by force if it takes too long, and remove the folder."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        if _has_ended(child):
            break
    if child.stdin is not None:
        child.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the launcher and the server that it started end within STOP_TIMEOUT."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while time.monotonic() < deadline:
        child.poll()  # reaps the launcher, which would count as a member of its group
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def main() -> int:
    """Start one in the foreground; it ends with Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m testbed.elasticsearch", description=__doc__)
    parser.add_argument("--port", type=int, default=9200, help="0 takes a free one")
    parser.add_argument("--version", help=f"default: {VERSIONS[0]}, or what Java can run")
    parser.add_argument(
        "--secured", action="store_true", help=f"user {USER[0]}, password {USER[1]}"
    )
    parser.add_argument("--data", type=Path, help="a folder to keep the data in")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running = start(
            port=options.port,
            version=options.version or best_version(),
            secured=options.secured,
            users={USER[0]: (USER[1], "superuser")},
            data=options.data,
        )
    except (JavaMissing, PackageError, StartFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        return running.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        running.stop()


if __name__ == "__main__":
    sys.exit(main())
