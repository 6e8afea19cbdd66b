"""What README.md says of the product is what the product is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_it_points_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_every_module_it_names_is_there() -> None:
    named = re.findall(r"`(proxy/[a-z_./]+)`", README)
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]
