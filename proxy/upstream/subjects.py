"""Who is refused, in the words of Elasticsearch's refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_subject(
    authenticated: Mapping[str, Any], effective: Mapping[str, Any], *, runs_as: bool
) -> str | None:
    """For instance "user [u] with effective roles [a,b]"; None for bodies of another shape.

    authenticated: the answer of `_security/_authenticate` for whose credentials they are;
    effective: the one for whom they act as, which differs where `runs_as`.
    Source: AuthorizationDenialMessages.
    """
    try:
        text = f"user [{authenticated['username']}]"
        realm = authenticated["authentication_realm"]["type"]
        if realm == "_service_account":
            text = f"service account [{authenticated['username']}]"
        elif realm == "_es_api_key":
            text = f"API key id [{authenticated['api_key']['id']}] of {text}"
        if runs_as:
            text += f" run as [{effective['username']}]"
        elif realm in ("_service_account", "_es_api_key"):
            return text  # they have privileges, but no roles
        roles = ",".join(sorted(set(effective["roles"])))
        return f"{text} with effective roles [{roles}]"
    except (KeyError, TypeError):
        return None
