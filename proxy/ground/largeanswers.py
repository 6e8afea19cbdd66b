"""The error for an answer of Elasticsearch that is too large to be read as a whole."""

from __future__ import annotations

from proxy.ground.errors import UpstreamError


class AnswerTooLarge(UpstreamError):
    """An answer of more bytes than are read of one that has to be changed."""

    status = 400
    type = "illegal_argument_exception"
    is_root_cause = False

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the answer to the request has more than [{most}] bytes, the most that is read of one "
            "that the proxy has to change: ask for fewer documents, or for less of each; the "
            "proxy's setting [upstream.answer_size] can be raised"
        )
