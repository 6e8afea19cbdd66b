"""Media types of requests and answers, and the version of the API that they ask for.

Source: ParsedMediaType, XContentType, RestCompatibleVersionHelper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from multidict import CIMultiDictProxy

from proxy.ground.errors import IllegalArgument, MediaTypeRejected, StatusError
from proxy.xcontent.javatext import java_hash_order

_TOKEN: Final = re.compile(r"[a-zA-Z0-9!#$%&'*+\-.^_`|~]+")
_FORMATS: Final = {
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/yaml": "yaml",
    "application/cbor": "cbor",
}
_ANY: Final = "application/*"  # which stands for JSON, but for no other type, where a body is sent
_SMILE: Final = frozenset(("application/smile", "application/vnd.elasticsearch+smile"))
_VENDOR: Final = re.compile(r"application/vnd\.elasticsearch\+(json|x-ndjson|yaml|cbor)")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A parsed `Accept` or `Content-Type`; `format` is None for types that are not supported."""

    text: str  # as it was sent
    echo: str  # as an answer repeats it
    format: str | None
    version: int | None  # of `compatible-with`
    vendor: bool

    def __str__(self) -> str:
        return self.text

    @property
    def is_smile(self) -> bool:
        """Whether it is the one type that Elasticsearch reads, and this proxy does not."""
        return self.echo.partition(";")[0] in _SMILE


def media_type(headers: CIMultiDictProxy[str], name: str) -> MediaType | None:
    """The media type in the header `name`, None without one. Raises: MediaTypeRejected."""
    if name not in headers:
        return None
    values = headers.getall(name)
    try:
        if len(values) > 1:
            raise IllegalArgument(f"Incorrect header [{name}]. Only one value should be provided")
        if not values[0].strip():
            raise IllegalArgument(f"Header [{name}] cannot be empty.")
        if name == "Content-Type" and _kind_of(values[0]) == _ANY:
            return MediaType(values[0], "application/json", "json", version=None, vendor=False)
        return _parse_media_type(values[0])
    except IllegalArgument as error:
        raise MediaTypeRejected(
            f"Invalid media-type value on headers [{name}]", cause=error
        ) from None


def _kind_of(text: str) -> str:
    return text.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)  # clients send the same few with every request
def _parse_media_type(text: str) -> MediaType | None:
    """None for lists and ranges, which only browsers send. Raises: IllegalArgument."""
    if "," in text or "*" in text:
        return None
    kind, *rest = (part.strip() for part in text.lower().split(";"))
    main, slash, sub = (part.strip() for part in kind.partition("/"))
    if not slash or not _TOKEN.fullmatch(main) or not _TOKEN.fullmatch(sub):
        raise IllegalArgument(f"invalid media-type [{text}]")
    parameters = {}
    for parameter in filter(None, rest):
        name, _, value = parameter.partition("=")
        if not name or not value or "=" in value or name.strip() + value.strip() != name + value:
            raise IllegalArgument(f"invalid parameters for header [{text}]")
        parameters[name] = value
    kind, version = f"{main}/{sub}", parameters.get("compatible-with", "")
    vendor = _VENDOR.fullmatch(kind)
    shown = [f";{name}={parameters[name]}" for name in java_hash_order(parameters)]
    return MediaType(
        text=text,
        echo=kind + "".join(shown),
        format=_FORMATS.get(f"application/{vendor[1]}" if vendor else kind),
        version=int(version) if re.fullmatch("[0-9]{1,3}", version) else None,
        vendor=vendor is not None,
    )


def check_versions(
    accept: MediaType | None, content: MediaType | None, has_body: bool, major: int
) -> None:
    """Whether `compatible-with` names this `major` version of the API or the one before it.

    Both headers must name the same one when there is a body.
    Raises: MediaTypeRejected. Source: RestCompatibleVersionHelper.getCompatibleVersion.
    """
    accepted = accept.version if accept else None
    sent = content.version if content else None
    _check_known("Accept", accepted, accept, major)
    if not has_body:
        return
    _check_known("Content-Type", sent, content, major)
    if accepted == sent:
        return
    both = "both Content-Type and Accept headers if either one has requested a compatible version"
    same = (
        ""
        if (accepted or major) == (sent or major)
        else (" and the compatible versions must match")
    )
    _reject_versions(
        f"A compatible version is required on {both}{same}. Accept={accept or 'null'}, "
        f"Content-Type={content or 'null'}"
    )


def _check_known(header: str, version: int | None, value: MediaType | None, major: int) -> None:
    if version is not None and version not in (major, major - 1):
        _reject_versions(
            f"{header} version must be either version {major} or {major - 1}, "
            f"but found {version}. {header}={value}"
        )


def _reject_versions(reason: str) -> None:
    raise MediaTypeRejected(
        "Invalid media-type value on headers [Accept, Content-Type]",
        cause=StatusError(400, reason),
    )
