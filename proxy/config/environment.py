"""The environment: the proxy's own variables, and names that people have in theirs already."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from proxy.config.checking import ConfigError
from proxy.config.credentials import kind_of, kinds_of
from proxy.config.keys import PREFIX
from proxy.config.values import KEYS, items

# The names of Kibana's container, and those that clients and their guides use. A variable of the
# proxy's own is stronger.
ALIASES: Final = {
    "ELASTICSEARCH_URL": "upstream.url",
    "ELASTICSEARCH_HOSTS": "upstream.url",
    "ES_URL": "upstream.url",
    "ELASTIC_API_KEY": "upstream.api_key",
    "ELASTICSEARCH_API_KEY": "upstream.api_key",
    "ES_API_KEY": "upstream.api_key",
    "ELASTICSEARCH_USERNAME": "upstream.username",
    "ELASTICSEARCH_PASSWORD": "upstream.password",
    "ELASTICSEARCH_SERVICEACCOUNTTOKEN": "upstream.service_token",
    "ELASTICSEARCH_SSL_CERTIFICATEAUTHORITIES": "upstream.ca_file",
    "ELASTICSEARCH_SSL_CERTIFICATE": "upstream.certificate",
    "ELASTICSEARCH_SSL_KEY": "upstream.key",
}
_KEYS_BY_VARIABLE: Final = {key.variable: key for key in KEYS.values()}
_SIMILAR: Final = 0.88  # how alike a known name must be to be suggested; all begin alike
# Names that seem to say where Elasticsearch is, or how to speak to it.
_RELEVANT: Final = re.compile(
    r"(ELASTIC(SEARCH)?|ES)_(?!APM_)\w*"
    r"((HOST|NODE|UR[IL]|USER|PASSW|TOKEN|API_?KEY|SSL|TLS|CERT|VERIF|CLOUD_?ID)\w*|CA)"
)
_MEANT: Final = {
    "ELASTICSEARCH_SSL_VERIFICATIONMODE": f"{PREFIX}UPSTREAM_VERIFY",
    "ELASTICSEARCH_SSL_TRUSTSTORE_PATH": "ELASTICSEARCH_SSL_CERTIFICATEAUTHORITIES",
    "ELASTIC_USERNAME": "ELASTICSEARCH_USERNAME",
}
_OF_SETUP: Final = "ELASTIC_PASSWORD"  # read by the command `setup` alone
# What Kubernetes sets in each container for each Service in its namespace.
_OF_A_SERVICE: Final = re.compile(
    r"[A-Z0-9_]*?((?:^|_)SERVICE_(HOST|PORT)(_\w+)?|(?:^|_)PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)


def own_values(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The proxy's own variables: each key with the name and the text of its variable.

    Raises: ConfigError for an unknown one.
    """
    values = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or _is_of_a_service(name.removeprefix(PREFIX), text):
            continue
        key = _KEYS_BY_VARIABLE.get(name.upper())
        if key is None:
            hint = _did_you_mean(name, _KEYS_BY_VARIABLE)
            raise ConfigError(f"unknown environment variable [{name}]{hint}")
        values[key.name] = name, text
    return values


def usual_values(
    environ: Mapping[str, str], stronger: Collection[str]
) -> dict[str, tuple[str, str]]:
    """The same for ALIASES; not for the keys in `stronger`, nor for other kinds of credentials.

    Raises: ConfigError for two names that contradict each other.
    """
    kinds = kinds_of(stronger)
    values: dict[str, tuple[str, str]] = {}
    for name, key in ALIASES.items():
        text = environ.get(name)
        if not text or key in stronger or (kinds and kind_of(key) not in {None, *kinds}):
            continue
        value = _value(name, key, text)
        known, before = values.setdefault(key, (name, value))
        if before != value:
            raise ConfigError(
                f"[{known}] and [{name}] contradict each other: unset one of them, or set "
                f"[{KEYS[key].variable}]"
            )
    return values


def not_understood(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that seems to be meant for the proxy and has no effect."""
    for name, text in environ.items():
        is_known = name in (*ALIASES, _OF_SETUP) or _is_of_a_service(name.partition("_")[2], text)
        if text and not is_known and _RELEVANT.fullmatch(name):
            meant = _MEANT.get(name)
            hint = f"; did you mean [{meant}]?" if meant else _did_you_mean(name, ALIASES)
            yield f"the environment variable [{name}] is not understood, and has no effect{hint}"


def _value(name: str, key: str, text: str) -> str:
    """A text as the key takes it; lists come with commas, or as Kibana's in brackets."""
    if key not in ("upstream.url", "upstream.ca_file"):
        return text
    parts = [part.rstrip("/") for part in _listed(name, text)]
    if key == "upstream.ca_file" and len(parts) > 1:
        raise ConfigError(f"[{name}] must be one file: put all certificates into it")
    return ",".join(parts)


def _listed(name: str, text: str) -> list[str]:
    if not text.strip().startswith("["):
        return [item.strip() for item in items(text)]
    import yaml  # JSON's lists are YAML's

    try:
        listed = yaml.safe_load(text)
    except yaml.YAMLError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise ConfigError(f"[{name}] must be a list with commas, or a JSON list of texts")
    return listed


def _is_of_a_service(name: str, text: str) -> bool:
    """Whether Kubernetes set it, whatever the Service is called; `name` is without its prefix."""
    return _OF_A_SERVICE.fullmatch(name) is not None or (
        name.endswith("PORT") and text.startswith(("tcp://", "udp://", "sctp://"))
    )


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_SIMILAR)
    return f"; did you mean [{near[0]}]?" if near else ""
