"""Keeps what the layer adds out of what callers see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic import layout

# A path below `xinf`, which becomes that of the field; what we added to a document, cut out.
_PATH: Final = re.compile(rf"\b{layout.CONTAINER}\.([^\s.\]\[,'\"]+)(?:\.[a-z_0-9]+)*")
_SPLICED: Final = re.compile(rf',?"{layout.CONTAINER}":\{{.*', re.DOTALL)


def hide_in_error(document: Any) -> Any:
    """An error's document with texts that speak of the user's fields only."""
    if isinstance(document, str):
        return hidden_in_text(document)
    if isinstance(document, list):
        return [hide_in_error(one) for one in document]
    if isinstance(document, Mapping):
        return {key: hide_in_error(value) for key, value in document.items()}
    return document


def hidden_in_text(text: str) -> str:
    """A text of the upstream's without our names."""
    if layout.CONTAINER not in text:
        return text
    text = _SPLICED.sub("", text)
    return _PATH.sub(lambda match: layout.path_of(match[1]), text)
