"""What differs between the releases of Elasticsearch whose API can be served.

Whatever is not in this table is the same in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from proxy.ground.errors import ProxyError, StatusError
from proxy.ground.lateness import advice_when_late
from proxy.inference.within import timed_out
from proxy.xcontent.times import time_text

TimedOut = Callable[[str, float], ProxyError]  # of an inference id and seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRules:
    """What `_update` takes and does.

    Source: UpdateInferenceModelAction.Request, TransportUpdateInferenceModelAction.
    """

    # Service settings must include the token.
    needs_api_key: bool
    # Settings may be null, which restores the default or changes nothing.
    takes_nulls: bool
    # Chunking settings can be updated. Source: elastic/elasticsearch#149723.
    takes_chunking: bool
    # Settings that cannot be updated are refused rather than ignored.
    refuses_unknown: bool
    # The provider is called with the changed endpoint before the change is stored.
    tries_changes: bool
    # The name that the error for settings of the wrong JSON type gives to `{kind}_settings`.
    not_an_object: str
    # There is a query parameter `timeout`, for that call; every release takes `master_timeout`.
    takes_timeout: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of one release."""

    # The media type parameter `compatible-with` may name this major version or the one before it.
    # Source: RestCompatibleVersionHelper.
    major: int
    # Makes the error for a call that took too long. Source: TimedListener.
    timed_out: TimedOut
    # Default timeout of completions and chats in seconds, None if it is the one of other tasks.
    # Source: BaseInferenceActionRequest.
    chat_timeout: float | None
    # Embedding tasks refuse `query`. Source: InferenceAction.Request.validate.
    embeddings_refuse_query: bool
    # Chats are answered in one piece, too. Source: TransportInferenceActionProxy.
    answers_unstreamed_chats: bool
    # Chats may be about what the model thinks, and tell it. Source: elastic/elasticsearch#143242.
    reasons: bool
    # The text for a chat whose provider answers 404, and the type of a chat error without details.
    # Source: HuggingFaceChatCompletionResponseHandler, UnifiedChatCompletionErrorResponse.
    chat_not_found: str
    chat_error_type: str
    update: UpdateRules

    def default_timeout(self, *, streams: bool, configured: float) -> float:
        """Seconds that a call without `timeout` may take."""
        if streams and self.chat_timeout is not None:
            return max(self.chat_timeout, configured)
        return configured

    def update_rules(self, client_meta: str) -> UpdateRules:
        """The rules for an `_update` whose caller sent this `x-elastic-client-meta`.

        Official clients from 9.3 on can update other settings than the token, so they may do so
        whatever release is served.
        """
        named = _CLIENT_RELEASE.search(client_meta)
        if named and (int(named[1]), int(named[2])) >= _UPDATES_ALL_SETTINGS:
            return replace(self.update, needs_api_key=False)
        return self.update


_CLIENT_RELEASE: Final = re.compile(r"(?:^|,)es=([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_UPDATES_ALL_SETTINGS: Final = (9, 3)


def _status_408(inference_id: str, seconds: float) -> ProxyError:
    error = StatusError(408, f"Request timed out after [{time_text(seconds)}]")
    return error.advised(advice_when_late())


_V9_2: Final = Profile(
    major=9,
    timed_out=timed_out,
    chat_timeout=None,
    embeddings_refuse_query=True,
    answers_unstreamed_chats=False,
    reasons=False,
    chat_not_found="Resource not found at [{url}]",
    chat_error_type="UnifiedChatCompletionErrorResponse",
    update=UpdateRules(
        needs_api_key=True,
        takes_nulls=False,
        takes_chunking=False,
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
    reasons=True,
    update=UpdateRules(
        needs_api_key=False,
        takes_nulls=True,
        takes_chunking=True,
        refuses_unknown=False,
        tries_changes=True,
        not_an_object="[{kind}_settings]",
        takes_timeout=True,
    ),
)
_V9_6: Final = replace(
    _V9_5,
    answers_unstreamed_chats=True,
    update=replace(_V9_5.update, refuses_unknown=True),
)
PROFILES: Final[Mapping[str, Profile]] = {
    "8.19": _V8_19,
    "9.2": _V9_2,
    "9.5": _V9_5,
    "9.6": _V9_6,
}
