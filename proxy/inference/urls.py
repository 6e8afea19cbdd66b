"""Which URLs of providers can be used, and the reason why another one cannot.

Source: the reasons are those of java.net.URI. That a URL must be http(s) with a host and without
user information, which aiohttp would send as credentials, is the proxy's own rule.
"""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

_PARTS: Final = re.compile(
    r"(?:(?P<scheme>[^:/?#]*):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_ILLEGAL: Final = re.compile(r"[\x00-\x20\x7f-\xa0\"<>\\^`{|}\u2000-\u200b\u2028\u2029\u3000]")
_MISPLACED: Final = {"path": re.compile(r"[\[\]]"), "fragment": re.compile("#")}
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNUSABLE: Final = "Expected scheme name"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def url_problem(text: str) -> str | None:
    """Why `text` is no usable http(s) URL; None if it is one."""
    match = _PARTS.fullmatch(text)
    assert match is not None  # the pattern takes any text
    parts = match.groupdict()
    return _syntax_problem(text, parts) or _use_problem(text, parts["scheme"])


def _syntax_problem(text: str, parts: dict[str, str | None]) -> str | None:
    scheme, authority = parts["scheme"], parts["authority"]
    if scheme == "":
        return "Expected scheme name"
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        return "Illegal character in scheme name"
    if scheme is not None and text[len(scheme) + 1 :][:1] in ("", "#"):
        return "Expected scheme-specific part"
    if authority is not None and authority.rpartition("@")[2].startswith("["):
        if "]" not in authority:
            return "Expected closing bracket for IPv6 address"
    elif authority is not None and ("[" in authority or "]" in authority):
        return "Illegal character in authority"
    for name in ("authority", "path", "query", "fragment"):
        part = parts[name] or ""
        misplaced = _MISPLACED.get(name)
        if _ILLEGAL.search(part) or (misplaced and misplaced.search(part)):
            return f"Illegal character in {name}"
        if _BAD_ESCAPE.search(part):
            return "Malformed escape pair"
    return None


def _use_problem(text: str, scheme: str | None) -> str | None:
    """Why a URL that Java accepts cannot be called, if possible in the words of java.net.URI."""
    if scheme is None or scheme.lower() not in _DEFAULT_PORTS:
        return _UNUSABLE
    try:
        url = URL(text, encoded=True)
        host, port = url.host, url.port
    except ValueError:
        return _UNUSABLE
    if not host or not _is_host(host):
        return _UNUSABLE
    if url.raw_user is not None or url.raw_password is not None:
        return "User information is not supported"
    return None if port is not None and 1 <= port <= 65535 else _UNUSABLE


def _is_host(host: str) -> bool:
    """Whether it is an address, or a name that DNS could know."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
