"""One Elasticsearch node: the folder of its configuration, users, data and logs; its process."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.modelserver.packages import cache_folder
from testbed.processes import guarded

QUICK: Final = "-XX:TieredStopAtLevel=1"  # halves the time of a start, and suits a short life
UNPRIVILEGED: Final = "nobody"  # Elasticsearch refuses to run as root


class StartFailed(Exception):
    """Elasticsearch did not start; the text ends with the last lines of its log, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that is not running yet; `home` is the distribution's folder."""

    folder: Path
    data: Path
    home: Path
    major: int
    stock: bool = False  # security and TLS are as Elasticsearch sets them up by itself

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def log(self) -> Path:
        return self.folder / "elasticsearch.log"

    @property
    def authority(self) -> Path:
        """Certificate of the authority that an Elasticsearch makes for itself; for its clients."""
        return self.config / "certs/http_ca.crt"

    def configure(self, port: int, secured: bool, more: Mapping[str, Any]) -> None:
        """Write elasticsearch.yml, with `more` settings, beside copies of the other files."""
        shutil.copytree(self.home / "config", self.config)
        for folder in (self.folder / "logs", self.folder / "tmp", self.data):
            folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "cluster.name": "demo",
            "node.name": "demo",
            "network.host": "127.0.0.1",
            "http.port": port,
            "transport.port": 0,
            "node.portsfile": True,  # the file that tells the port
            "discovery.type": "single-node",
            "path.data": str(self.data),
            "path.logs": str(self.folder / "logs"),
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }
        if not self.stock:
            settings["xpack.security.enabled"] = secured
        if not self.stock and self.major >= 8:
            settings["xpack.security.autoconfiguration.enabled"] = False
        settings |= more
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        (self.config / "elasticsearch.yml").write_text("".join(lines))
        options = self.config / "jvm.options"  # 7.17's has paths relative to its home
        options.write_text(options.read_text().replace("=logs/", f"={self.folder}/logs/"))

    def write_users(self, users: Mapping[str, tuple[str, str]], roles: str | None) -> None:
        """Fill the file realm: name to password and role names; `roles` is roles.yml."""
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

    def write_keystore(self, settings: Mapping[str, str], java: Path) -> None:
        """Make the keystore, with these settings."""
        for arguments, value in (
            (["create"], ""),
            *((["add", "-x", "-f", name], value) for name, value in settings.items()),
        ):
            subprocess.run(
                [str(self.home / "bin/elasticsearch-keystore"), *arguments],
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "ES_JAVA_HOME": str(java),
                    "ES_PATH_CONF": str(self.config),
                    "CLI_JAVA_OPTS": f"-Djava.io.tmpdir={self.folder / 'tmp'}",
                },
                input=value.encode(),
                check=True,
                capture_output=True,
            )

    def hand_over(self) -> None:
        """Under root, give the node's files to the user that it runs as. Raises: StartFailed."""
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
        # A launcher that makes keys would take minutes without the full compiler.
        launcher = "" if self.stock else QUICK
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "ES_JAVA_HOME": str(java),
            "ES_JAVA_OPTS": options,
            "ES_PATH_CONF": str(self.config),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "CLI_JAVA_OPTS": f"{launcher} -Djava.io.tmpdir={self.folder / 'tmp'}",
        }
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = {"user": UNPRIVILEGED, "group": pwd.getpwnam(UNPRIVILEGED).pw_gid}
            user["extra_groups"] = []
        with self.log.open("wb") as log:
            return subprocess.Popen(
                guarded([str(self.home / "bin/elasticsearch")]),
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
        scheme = "https" if self.authority.exists() else "http"
        return f"{scheme}://{ports.read_text().split()[0]}" if ports.exists() else None


def _write_lines(file: Path, lines: list[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines))
    file.chmod(0o600)


def _hashed(password: str) -> str:
    """A password as the file realm stores it. Source: Hasher.PBKDF2_1000."""
    salt, rounds = secrets.token_bytes(32), 1000
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"
