"""What differs between the releases of Elasticsearch whose API can be served, in one table.

Whatever is not in it is the same in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from proxy.errors import ProxyError, RequestTimedOut, StatusError
from proxy.xcontent.times import time_text

TimedOut = Callable[[str, float], ProxyError]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRules:
    """What `_update` takes and does.

    Source: UpdateInferenceModelAction.Request, TransportUpdateInferenceModelAction.
    """

    # Service settings without a token are refused; the others among them would be ignored.
    needs_api_key: bool
    # Nulls inside the settings objects; they stand for the default, or for no change.
    takes_nulls: bool
    # Settings that cannot be updated are refused, not ignored.
    refuses_unknown: bool
    # A change is tried out before it is stored, as a new endpoint is.
    tries_changes: bool
    # What settings that are no object are called in the error.
    not_an_object: str
    # The query parameter `timeout`, which bounds the trial; `master_timeout` is known to all.
    takes_timeout: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of one release, where releases do not agree."""

    # `compatible-with` may name this major version and the one before it.
    # Source: RestCompatibleVersionHelper.
    major: int
    # The error of a call that took too long. Source: TimedListener.
    timed_out: TimedOut
    # Seconds for a completion or a chat without `timeout`; None: as for every other task.
    # Source: BaseInferenceActionRequest.
    chat_timeout: float | None
    # Whether embedding tasks refuse `query`. Source: InferenceAction.Request.validate.
    embeddings_refuse_query: bool
    # Whether a chat is answered without `_stream`, too. Source: TransportInferenceActionProxy.
    answers_whole_chats: bool
    # How a 404 of a chat's provider is told, and the type of a chat error that tells nothing more.
    # Source: HuggingFaceChatCompletionResponseHandler, UnifiedChatCompletionErrorResponse.
    chat_not_found: str
    chat_error_type: str
    update: UpdateRules

    def default_timeout(self, *, streams: bool, configured: float) -> float:
        """Seconds that a call may take when its request does not say."""
        if streams and self.chat_timeout is not None:
            return max(self.chat_timeout, configured)
        return configured

    def update_rules(self, client_meta: str) -> UpdateRules:
        """The rules for an `_update` whose caller sent this `x-elastic-client-meta`.

        Newer official clients update other settings than the token; who names itself as one of
        them may do so, whatever release is served.
        """
        named = _CLIENT_RELEASE.search(client_meta)
        if named and (int(named[1]), int(named[2])) >= _UPDATES_ALL_SETTINGS:
            return replace(self.update, needs_api_key=False)
        return self.update


_CLIENT_RELEASE: Final = re.compile(r"(?:^|,)es=([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_UPDATES_ALL_SETTINGS: Final = (9, 3)


def _status_408(inference_id: str, seconds: float) -> ProxyError:
    return StatusError(408, f"Request timed out after [{time_text(seconds)}]")


def _timeout_429(inference_id: str, seconds: float) -> ProxyError:
    text = f"Request timed out after [{time_text(seconds)}] for inference id [{inference_id}]"
    return RequestTimedOut(text)


_V9_2: Final = Profile(
    major=9,
    timed_out=_timeout_429,
    chat_timeout=None,
    embeddings_refuse_query=True,
    answers_whole_chats=False,
    chat_not_found="Resource not found at [{url}]",
    chat_error_type="UnifiedChatCompletionErrorResponse",
    update=UpdateRules(
        needs_api_key=True,
        takes_nulls=False,
        refuses_unknown=False,
        tries_changes=False,
        not_an_object="{kind} settings",
        takes_timeout=False,
    ),
)
_V8_19: Final = replace(
    _V9_2,
    major=8,
    timed_out=_status_408,
    embeddings_refuse_query=False,
    chat_not_found="Received an unsuccessful status code",
    chat_error_type="ErrorResponse",
    update=replace(_V9_2.update, takes_nulls=True),
)
_V9_5: Final = replace(
    _V9_2,
    chat_timeout=120.0,
    update=UpdateRules(
        needs_api_key=False,
        takes_nulls=True,
        refuses_unknown=False,
        tries_changes=True,
        not_an_object="[{kind}_settings]",
        takes_timeout=True,
    ),
)
_V9_6: Final = replace(
    _V9_5,
    answers_whole_chats=True,
    update=replace(_V9_5.update, refuses_unknown=True),
)
PROFILES: Final[Mapping[str, Profile]] = {
    "8.19": _V8_19,
    "9.2": _V9_2,
    "9.5": _V9_5,
    "9.6": _V9_6,
}
DEFAULT: Final = PROFILES["9.2"]
