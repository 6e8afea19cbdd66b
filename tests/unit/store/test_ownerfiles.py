from __future__ import annotations

import pytest

from proxy.config import ConfigError
from proxy.store.ownerfiles import private_folder, write_once


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)  # as Kubernetes makes an emptyDir
    with pytest.raises(ConfigError, match=r"\[store.kind\].*chmod o-w .* name a folder in it"):
        private_folder("store.kind", folder)
    private_folder("store.kind", folder / "own")
    assert (folder / "own").stat().st_mode & 0o777 == 0o700
    # /tmp: nobody can replace another's files; then a volume with fsGroup, and a plain folder
    for mode in (0o1777, 0o2775, 0o755):
        folder.chmod(mode)
        private_folder("store.kind", folder)


def test_a_file_is_written_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "key"
    assert write_once(path, b"first")
    assert not write_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
