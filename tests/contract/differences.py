"""Cases that the proxy does not pass as they are, by id. There are no other exceptions.

`BY_DESIGN`: the proxy differs on purpose. The case must pass with our expectation and fail with
Elasticsearch's; otherwise the entry is out of date.
`NOT_YET`: not built yet; a strict xfail.
`NOT_HERE`: cannot be set up with the parts that the tests have; these do not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Why the proxy differs, and the top-level keys that replace those of the case."""

    reason: str
    changes: Mapping[str, Any]


MANY_INPUTS: Final = [f"t{n}" for n in range(33)]

BY_DESIGN: Final = {
    "put-task-type-number-500": Difference(
        reason="A caller's mistake is never a 500: the answer names the field and the type.",
        changes={
            "expect": {
                "status": 400,
                "error_type": "illegal_argument_exception",
                "body_text_contains": ["task_type", "String"],
                "body_not_contains_text": ["java.lang"],
            }
        },
    ),
    "stream-raw-framing": Difference(
        reason="No byte order mark before events: standard parsers read it as part of the field.",
        changes={
            "expect": {
                "status": 200,
                "body_bytes_prefix_hex": b"event: message\ndata: ".hex(),
                "body_text_contains": ["event: message\ndata: [DONE]\n\n"],
                "body_not_contains_text": ["\ufeff"],
            }
        },
    ),
    "lic-basic-put-403": Difference(
        reason="No licence check: the product is the service. The upstream has a basic licence.",
        changes={
            "expect": {
                "status": 200,
                "body_contains": {"inference_id": "l1", "task_type": "completion"},
            }
        },
    ),
    "hf-cmp-007": Difference(
        reason="The provider's text is kept, as one of the case's own alternatives has it.",
        changes={
            "expected_es_response": {
                "status": 422,
                "error": {
                    "type": "status_exception",
                    "reason": (
                        "Received an input validation error response for request from inference "
                        "entity id [my-id] status [422]. Error message: [Input validation error: "
                        "`inputs` tokens + `max_new_tokens` must be <= 4096]"
                    ),
                },
            }
        },
    ),
    "hf-emb-004": Difference(
        reason="More inputs than a server takes are split, 32 at a time, instead of refused.",
        changes={
            "hf_reply": {"status": 200, "body_per_input": [1]},
            "expected_hf_request": None,
            "expected_hf_calls": 2,
            "expected_hf_requests": [{"inputs": MANY_INPUTS[:32]}, {"inputs": MANY_INPUTS[32:]}],
            "any_order": True,
            "expected_es_response": {
                "status": 200,
                "body": {"text_embedding": [{"embedding": [1.0]}] * 33},
            },
        },
    ),
}

NOT_YET: Final[Mapping[str, str]] = {}

NOT_HERE: Final = {
    "delete-referenced-by-pipeline-409": (
        "needs the inference processor of x-pack-ml, which the test distribution lacks"
    ),
    "hf-emb-027": "chunked inference has no route of its own in the API",
}
