"""The proxy needs no shell, no capability and no writable folder but its state folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Final
from urllib.request import urlopen

import pytest

from testbed.processes import Server, proxy_command
from tests.support.processes import clean_environ

# Run in its own mount namespace with a state folder and the command to run.
INSIDE: Final = """
set -e
mount --make-rprivate /
while read -r _ folder _; do
    mount -o remount,ro,bind "$folder" 2> /dev/null || true  # some can't be written to anyway
done < /proc/mounts
mount -t tmpfs -o mode=700 none "$1"
shift
for folder in / . "$HOME" /tmp /dev/shm; do
    if touch $folder/written 2> /dev/null; then exit 1; fi
done
for shell in /bin/bash /bin/sh; do mount --bind /dev/null "$(readlink -f $shell)"; done
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def may_mount():
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="mounting needs root")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_read_only_root_without_a_shell_is_enough(serve, tmp_path, workers):
    served = proxy_command("serve", "--listen", "127.0.0.1:0", "--workers", str(workers))
    arguments = ["unshare", "--mount", "sh", "-c", INSIDE, "sh", str(tmp_path), *served]
    environ = clean_environ(tmp_path, {"HFPROXY_STORE_ENCRYPTION_KEY": None})
    proxy = serve.start(Server(arguments, environ))
    assert "made a new encryption key" in proxy.output
    with urlopen(f"{proxy.url}/_inference/_all") as answer:
        assert json.load(answer) == {"endpoints": []}
    assert proxy.stop() == 0
    assert list(tmp_path.iterdir()) == []
