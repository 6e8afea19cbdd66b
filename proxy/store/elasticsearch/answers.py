"""What Elasticsearch's answers say.

Of an error only the status and its type are ever read: the texts can quote documents.
"""

from __future__ import annotations

import re
from typing import Final

from elasticsearch import ApiError, NotFoundError

from proxy.ground.errors import StoreError

INDEX_MISSING: Final = "index_not_found_exception"


def outcome_of(body: object, action: str) -> tuple[int, str]:
    """Status and result of the one `action` in an answer to `_bulk`; of an error, its type.

    Raises: StoreError for any other answer.
    """
    match body:
        case {"items": [dict(item)]}:
            match item.get(action):
                case {"status": int(status), "error": {"type": str(kind)}}:
                    return status, _name(kind)
                case {"status": int(status), "result": str(result)}:
                    return status, result
    raise unexpected()


def unexpected() -> StoreError:
    return StoreError(
        "The endpoint store did not answer what it was asked: check that [upstream.url] leads to "
        "Elasticsearch itself, and its log"
    )


def lacks_document(error: NotFoundError) -> bool:
    """Whether it was Elasticsearch that found no document; a gateway could answer 404, too."""
    match error.body:
        case {"found": False}:
            return True
    return False


def lacks_index(error: NotFoundError) -> bool:
    return type_of(error) == INDEX_MISSING


def type_of(error: ApiError) -> str:
    """The `type` of an error; of a search that failed, that of the cause; else `unknown`."""
    match error.body:
        case {
            "error": {
                "type": "search_phase_execution_exception",
                "root_cause": [{"type": str(kind)}, *_],
            }
        }:
            return _name(kind)
        case {"error": {"type": str(kind)}}:
            return _name(kind)
    return "unknown"


def _name(kind: str) -> str:
    return kind if re.fullmatch(r"[a-z_]{1,80}", kind) else "unknown"
