"""A real Elasticsearch on this machine, from the distribution that Maven Central has.

`python -m testbed.elasticsearch --port 9200` starts one in the foreground.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.modelserver.packages import (
    PackageError,
    Say,
    cache_folder,
    fetch_from_maven,
    made_once,
    run,
)
from testbed.java import JavaMissing, find_java

DEFAULT_VERSION: Final = "9.2.4"
VERSIONS: Final = (DEFAULT_VERSION, "8.19.8")  # for older Javas, best first
COORDINATES: Final = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
# Major version of Elasticsearch to the Java versions that run it: 7 and 8 need the security
# manager, which Java 24 lost.
JAVA: Final = {7: (11, 21), 8: (17, 23), 9: (21, 99)}
QUICK: Final = "-XX:TieredStopAtLevel=1"  # halves what a start costs; a short life never regains it
JAVA_OPTIONS: Final = f"-Xms512m -Xmx512m {QUICK}"
UNPRIVILEGED: Final = "nobody"  # Elasticsearch refuses to run as root
USER: Final = ("admin", "changeme")  # of the command; built-in names are not to be had
START_TIMEOUT: Final = 180.0  # seconds
STOP_TIMEOUT: Final = 20.0
PLUGIN: Final = Path(__file__).parent / "plugin"
PLUGIN_NAME: Final = "test-analysis"
# Becomes the launcher, after leaving a watcher behind that ends it with our end of the pipe:
# nothing is left running, however this process dies.
LAUNCH: Final = 'exec 3<&0; (read _ <&3; kill $$) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'


class StartFailed(Exception):
    """Elasticsearch did not start; the text ends with the last lines of its log."""


@dataclass(kw_only=True)
class RunningElasticsearch:
    """An Elasticsearch that was started here; ends with `stop`, or with this process."""

    url: str
    version: str
    log: Path
    pid: int
    data: Path
    _child: subprocess.Popen[bytes] = field(repr=False)
    _folder: Path = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End it and remove its folder, log included; `data` stays if it was given to `start`."""
        atexit.unregister(self.stop)
        _end(self._child)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill it at once, as a crash would; `stop` still has to be called."""
        os.killpg(self.pid, signal.SIGKILL)
        _is_gone(self._child)

    def wait(self) -> int:
        """Its exit code, once it ends by itself."""
        return self._child.wait()


def start(
    *,
    port: int = 0,
    version: str = DEFAULT_VERSION,
    secured: bool = False,
    users: Mapping[str, tuple[str, str]] | None = None,
    roles: str | None = None,
    data: Path | None = None,
    java_options: str = JAVA_OPTIONS,
    say: Say = print,
) -> RunningElasticsearch:
    """Fetch, unpack and start an Elasticsearch; it is healthy when this returns.

    port: 0 takes a free one. secured: security without TLS, with `users` (name to password and
    role, comma-separated for several) and `roles` (the text of roles.yml) in the file realm, and
    with API keys (from 8.19 on). data: a folder to keep between starts, which the user `nobody`
    must be able to reach under root. java_options: memory, and how much the compiler may do.
    Raises: JavaMissing, PackageError, StartFailed.
    """
    major = _major(version)
    with_plugin = secured and major >= 8
    java = find_java(*JAVA[major], compiler=with_plugin)
    home = _distribution(version, say)
    if with_plugin:
        home = _with_plugin(home, version, java, say)
    folder = Path(tempfile.mkdtemp(dir=cache_folder(), prefix=f"node-{version}-"))
    try:
        health = ("health", secrets.token_hex(16))
        node = _Node(folder=folder, data=data or folder / "data", home=home, major=major)
        node.configure(port, secured)
        if secured:
            node.write_users({**(users or {}), health[0]: (health[1], "superuser")}, roles)
        node.hand_over()
        child = node.launch(java, java_options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    running = RunningElasticsearch(
        url="", version=version, log=node.log, pid=child.pid, data=node.data,
        _child=child, _folder=folder,
    )  # fmt: skip
    atexit.register(running.stop)
    try:
        running.url = _wait_until_healthy(node, child, health if secured else None, version, say)
    except BaseException:
        running.stop()
        raise
    return running


def best_version(say: Say = print) -> str:
    """The first of VERSIONS that an installed Java can run; the last one if none can."""
    *better, last = VERSIONS
    for version in better:
        try:
            find_java(*JAVA[_major(version)])
        except JavaMissing as missing:
            say(f"Not Elasticsearch {version}: {missing}")
        else:
            return version
    return last


def _major(version: str) -> int:
    return int(version.partition(".")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """The folder of one node: its own configuration, data, log and temporary files."""

    folder: Path
    data: Path
    home: Path
    major: int

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def log(self) -> Path:
        return self.folder / "elasticsearch.log"

    def configure(self, port: int, secured: bool) -> None:
        """Write elasticsearch.yml beside copies of the distribution's other files."""
        shutil.copytree(self.home / "config", self.config)
        for folder in (self.folder / "logs", self.folder / "tmp", self.data):
            folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "cluster.name": "demo",
            "node.name": "demo",
            "network.host": "127.0.0.1",
            "http.port": port,
            "transport.port": 0,
            "node.portsfile": True,  # how the port is learned
            "discovery.type": "single-node",
            "path.data": str(self.data),
            "path.logs": str(self.folder / "logs"),
            "cluster.routing.allocation.disk.threshold_enabled": False,
            "xpack.security.enabled": secured,
        }
        if self.major >= 8:
            settings["xpack.security.autoconfiguration.enabled"] = False
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        (self.config / "elasticsearch.yml").write_text("".join(lines))
        options = self.config / "jvm.options"  # of 7.17, whose paths start in its home
        options.write_text(options.read_text().replace("=logs/", f"={self.folder}/logs/"))

    def write_users(self, users: Mapping[str, tuple[str, str]], roles: str | None) -> None:
        """Fill the file realm."""
        members: dict[str, list[str]] = {}
        for name, (_, role_names) in users.items():
            for role in role_names.split(","):
                members.setdefault(role.strip(), []).append(name)
        _write_lines(
            self.config / "users",
            [f"{name}:{_hashed(password)}" for name, (password, _) in users.items()],
        )
        _write_lines(
            self.config / "users_roles",
            [f"{role}:{','.join(names)}" for role, names in members.items()],
        )
        if roles is not None:
            (self.config / "roles.yml").write_text(roles)

    def hand_over(self) -> None:
        """Under root, give the node's files to the user that it will run as."""
        if os.geteuid() != 0:
            return
        user = pwd.getpwnam(UNPRIVILEGED)
        for parent in self.data.resolve().parents:
            if parent != self.folder and not parent.stat().st_mode & 0o001:
                hint = f"take a data folder under {cache_folder()}"
                raise StartFailed(f"{parent} is closed to the user {UNPRIVILEGED}: {hint}")
        for top in {self.folder, self.data}:
            for path in (top, *top.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def launch(self, java: Path, options: str) -> subprocess.Popen[bytes]:
        """Start the launcher in a process group of its own; all it prints goes to the log."""
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "ES_JAVA_HOME": str(java),
            "ES_JAVA_OPTS": options,
            "ES_PATH_CONF": str(self.config),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "CLI_JAVA_OPTS": f"{QUICK} -Djava.io.tmpdir={self.folder / 'tmp'}",  # the launcher's
        }
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = {"user": UNPRIVILEGED, "group": pwd.getpwnam(UNPRIVILEGED).pw_gid}
            user["extra_groups"] = []
        with self.log.open("wb") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", LAUNCH, "sh", str(self.home / "bin/elasticsearch")],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **user,
            )

    def url(self) -> str | None:
        """Where it listens; None until it does."""
        ports = self.folder / "logs/http.ports"
        return f"http://{ports.read_text().split()[0]}" if ports.exists() else None


def _write_lines(file: Path, lines: list[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines))
    file.chmod(0o600)


def _hashed(password: str) -> str:
    """A password as the file realm stores it. Source: Hasher.PBKDF2_1000."""
    salt, rounds = secrets.token_bytes(32), 1000
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def _distribution(version: str, say: Say) -> Path:
    """The unpacked distribution, fetched on first use."""
    home = cache_folder() / f"elasticsearch-{version}"

    def unpack(scratch: Path) -> Path:
        what = f"Elasticsearch {version} (about 100 MB)"
        folder = scratch / "zip"
        folder.mkdir()
        archive = fetch_from_maven(COORDINATES.format(version=version), what, folder, say)
        say("Unpacking it")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(scratch)
        unpacked = scratch / home.name
        for program in (unpacked / "bin").iterdir():
            program.chmod(0o755)  # zipfile drops the modes
        return unpacked

    return made_once(home, unpack)


def _with_plugin(home: Path, version: str, java: Path, say: Say) -> Path:
    """A twin of the distribution (hard links) that has the tests' analysis plugin."""
    files = sorted(file for file in PLUGIN.rglob("*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]

    def build(scratch: Path) -> Path:
        twin = scratch / "twin"
        shutil.copytree(home, twin, copy_function=os.link)
        classes, plugin = scratch / "classes", twin / "plugins" / PLUGIN_NAME
        plugin.mkdir()
        sources = [str(file) for file in files if file.suffix == ".java"]
        run(
            [str(java / "bin/javac"), "-d", str(classes), "-cp", f"{home}/lib/*", *sources],
            "compiling the analysis plugin",
            say,
        )
        archive = str(plugin / f"{PLUGIN_NAME}.jar")
        run(
            [str(java / "bin/jar"), "--create", "--file", archive, "-C", str(classes), "."],
            "packing the analysis plugin",
            say,
        )
        shutil.copy(PLUGIN / "named_components.json", plugin)
        _write_descriptor(plugin / "stable-plugin-descriptor.properties", version, java)
        return twin

    return made_once(home.with_name(f"{home.name}-{PLUGIN_NAME}-{digest}"), build)


def _write_descriptor(file: Path, version: str, java: Path) -> None:
    properties = {
        "name": PLUGIN_NAME,
        "description": "What the index .security needs of the module analysis-common",
        "version": "1.0.0",
        "elasticsearch.version": version,
        "java.version": "17",
    }
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _wait_until_healthy(
    node: _Node,
    child: subprocess.Popen[bytes],
    user: tuple[str, str] | None,
    version: str,
    say: Say,
) -> str:
    """The address of the node, once its cluster can be used."""
    began = time.monotonic()
    word_at = began
    say(f"Starting Elasticsearch {version}")
    while child.poll() is None and time.monotonic() - began < START_TIMEOUT:
        url = node.url()
        if url is not None and _is_healthy(url, user):
            say(f"Elasticsearch {version} is up on {url} ({time.monotonic() - began:.0f} s)")
            return url
        if time.monotonic() - word_at >= 5:
            word_at = time.monotonic()
            say(f"  still starting ({word_at - began:.0f} s)")
        time.sleep(0.2)
    state = f"took over {START_TIMEOUT:.0f} s" if child.poll() is None else "ended"
    tail = "\n".join(node.log.read_text(errors="replace").splitlines()[-15:])
    raise StartFailed(f"Elasticsearch {version} {state} instead of starting:\n{tail}")


def _is_healthy(url: str, user: tuple[str, str] | None) -> bool:
    request = urllib.request.Request(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s")
    if user is not None:
        pair = base64.b64encode(":".join(user).encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole process group, by force if it takes too long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        if _is_gone(child):
            break
    if child.stdin is not None:
        child.stdin.close()


def _is_gone(child: subprocess.Popen[bytes]) -> bool:
    """Whether the launcher and the server under it end in time."""
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
