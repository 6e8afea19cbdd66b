"""Inference ids: which there can be, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from proxy.ground.errors import ActionRequestInvalid

# Elasticsearch's limit of 512 bytes for a document id, less its own prefix `model_`.
MAX_ID_BYTES: Final = 506
_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9_\-.]*[a-z0-9])?")


def is_inference_id(text: str) -> bool:
    """Source: MlStrings.isValidId; `_all` stands for every endpoint."""
    return _ID.fullmatch(text) is not None and text != "_all"


def check_inference_id(inference_id: str) -> None:
    """Raises: ActionRequestInvalid, whatever the length of the id."""
    if not is_inference_id(inference_id):
        raise ActionRequestInvalid(
            [
                f"Invalid inference_id; '{inference_id}' can contain lowercase alphanumeric "
                "(a-z and 0-9), hyphens or underscores; must start and end with alphanumeric"
            ]
        )


def is_storable(inference_id: str) -> bool:
    """Whether an endpoint with this id can exist."""
    return is_inference_id(inference_id) and len(inference_id) <= MAX_ID_BYTES  # it is ASCII


def check_storable_id(inference_id: str) -> None:
    """Raises: ActionRequestInvalid for an id that is too long, as for that of a document."""
    if not is_storable(inference_id):
        raise ActionRequestInvalid(
            [
                f"Invalid inference_id; '{inference_id}' is too long, must be no longer than "
                f"{MAX_ID_BYTES} bytes but was: {len(inference_id.encode())}"
            ]
        )


def list_ids(ids: Collection[str], most: int = 10, *, unnamed: int = 0) -> str:
    """Ids in brackets, for a text or a header: `[a, b, 3 more]`.

    At most `most` are named; `unnamed` more are only counted, and so are texts that are no ids,
    which somebody else wrote into the store: they could hold a line break.
    """
    named = [one for one in ids if is_storable(one)][:most]
    more = len(ids) - len(named) + unnamed
    return f"[{', '.join([*named, *([f'{more} more'] if more else [])])}]"
