"""Each node of the upstream: whether it answers, and what it says of itself and of the proxy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from yarl import URL

from proxy.commands.checks.findings import Finding, Level, error, ok, warning
from proxy.commands.checks.questions import NodeFailed, Questioner, Reply
from proxy.config import Config, ConfigError, is_any, is_own, split_address
from proxy.store.elasticsearch.connection import named_credentials
from proxy.upstream import rights
from proxy.upstream.certificateuser import CertificateGuard
from proxy.upstream.feature import lacks_inference
from proxy.upstream.nodes import CertificateTaken
from proxy.upstream.security import AUTHENTICATE, HAS_PRIVILEGES, SecurityAnswer
from proxy.upstream.version import VERSION_TARGETS, own_credentials, version_in

_OLDEST: Final = (7, 17)


async def check_nodes(config: Config) -> Sequence[Finding]:
    """Findings node by node. One that fails is an error only where no other one works."""
    if not config.upstream.urls:
        return [warning("[upstream.url] is not set: only _inference is served")]
    found = await asyncio.gather(*(_node(url, config) for url in config.upstream.urls))
    works = any(findings[0].level is not Level.ERROR for findings in found)
    return [one for findings in found for one in ([*_mitigated(findings)] if works else findings)]


def _mitigated(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings about a node, where another one can be used if this one cannot."""
    first, *others = findings
    yield first.mitigated()
    yield from others


async def _node(url: str, config: Config) -> list[Finding]:
    """Findings about one node; the first tells whether it can be used."""
    name = f"upstream [{url.rstrip('/')}]"
    if await _is_the_proxy(URL(url), config):
        return [error(f"{name} is the proxy's own address: set [upstream.url] or [listen]")]
    try:
        async with Questioner(url, config.upstream) as node:
            identity = await node.ask(AUTHENTICATE)
            findings = [_answering(name, identity)]
            if findings[0].level is Level.ERROR:
                return findings
            findings.append(_credentials(name, identity, config))
            findings += await _certificate(name, url, config)
            # Without valid credentials nothing else is told.
            if identity.status != 401:
                findings += await _about(name, node)
            if identity.status == 200 and config.semantic.enabled is not False:
                findings += await _rights(name, node, wanted=config.semantic.enabled is True)
            return findings
    except (NodeFailed, ConfigError) as problem:
        return [error(f"{name}: {problem}")]


def _answering(name: str, reply: Reply) -> Finding:
    """Whether the answer is an Elasticsearch's."""
    if reply.status in (502, 503, 504):
        return error(f"{name} answers with [{reply.status}]: check its log and its cluster")
    if reply.status in (301, 302, 307, 308):
        return error(f"{name} redirects to another address: set that one")
    match reply.json:
        case {"error": {"type": "security_exception"}}:  # without the header
            return ok(f"{name} answers")
    if reply.product == "Elasticsearch":
        return ok(f"{name} answers")
    return error(f"{name} is no Elasticsearch, or older than 7.14: check the address")


def _credentials(name: str, reply: Reply, config: Config) -> Finding:
    upstream = config.upstream
    has_some = own_credentials(upstream) is not None
    needed = config.store_kind == "elasticsearch"
    answer = SecurityAnswer(
        status=reply.status, body=reply.json, challenges=(), product=reply.product
    )
    match reply.status:
        case _ if answer.says_security_is_off:
            use = ": the proxy's credentials have no effect" if has_some else ""
            return ok(f"{name}: security is off, and nobody's credentials are checked{use}")
        case 200:
            return ok(f"{name}: security is on, and the proxy is {_whom(answer.body)}")
        case 401 if has_some:
            hint = ""
            if upstream.api_key is not None and ":" in upstream.api_key:
                hint = ", in its encoded form (base64 of ID:KEY)"
            level = error if needed else warning
            return level(
                f"{name} refuses the proxy's own credentials: {named_credentials(upstream)} must "
                f"be valid{hint}"
            )
        case 401 if needed:
            return error(
                f"{name}: security is on, and the proxy has no credentials for its store: set "
                "[upstream.api_key]"
            )
        case 401:
            return ok(f"{name}: security is on, and the proxy needs no credentials of its own")
    return warning(f"{name} does not tell who the proxy is: it answers with [{reply.status}]")


async def _certificate(name: str, url: str, config: Config) -> list[Finding]:
    if config.upstream.certificate is None or not url.startswith("https:"):
        return []
    try:
        await CertificateGuard(config.upstream).vet(url.rstrip("/"))
    except CertificateTaken as taken:
        return [error(f"{name}: [upstream.certificate] is [{taken.user}]: {taken}")]
    except OSError as problem:
        return [warning(f"{name}: {problem.strerror}")]
    return [ok(f"{name} takes the proxy's certificate for nobody")]


def _whom(body: Any) -> str:
    match body:
        case {"username": str(user), "authentication_type": "api_key", "api_key": {"name": key}}:
            return f"the API key [{key}] of [{user}]"
        case {"username": str(user)}:
            return f"[{user}]"
    return "known"


async def _about(name: str, node: Questioner) -> list[Finding]:
    async with asyncio.TaskGroup() as group:
        versions = [group.create_task(_asked(node, target)) for target in VERSION_TARGETS]
        licence = group.create_task(_asked(node, "/_license"))
        plugin = group.create_task(_asked(node, "/_inference/_all"))
    told = (_version(task.result()) for task in versions)
    version = next(filter(None, told), None)
    return [
        _about_version(name, version),
        _about_licence(name, licence.result()),
        _about_plugin(name, plugin.result()),
    ]


async def _rights(name: str, node: Questioner, *, wanted: bool) -> list[Finding]:
    """What fields of type `semantic_text` need; `wanted` says that they are asked for."""
    reply = await _asked(node, HAS_PRIVILEGES, rights.question())
    if reply is None or reply.status != 200 or not isinstance(reply.json, dict):
        if not wanted:
            return []
        return [warning(f"{name} does not tell what the proxy may, for [semantic.enabled]")]
    lacking = list(rights.lacking(reply.json))
    if lacking and not wanted:
        names = ", ".join(right.name for right in lacking)
        return [
            ok(
                f"{name}: fields of type [semantic_text] are not offered, as the proxy lacks the "
                f"privileges [{names}]: `setup --semantic` makes a key that has them"
            )
        ]
    missing = [
        error(
            f"{name}: the proxy lacks the privilege [{right.name}], {right.use} "
            "([semantic.enabled]): grant it to its API key or user"
        )
        for right in lacking
    ]
    return missing or [ok(f"{name}: the proxy may all that [semantic.enabled] needs")]


async def _asked(node: Questioner, target: str, body: Any = None) -> Reply | None:
    try:
        return await node.ask(target, body)
    except NodeFailed:
        return None


def _version(reply: Reply | None) -> str | None:
    return version_in(reply.body) if reply is not None and reply.status == 200 else None


def _about_version(name: str, version: str | None) -> Finding:
    if version is None:
        return ok(f"{name}: its version is unknown, as the proxy may not ask ([monitor])")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        return warning(f"{name}: Elasticsearch {version} is older than 7.17, the oldest tried")
    return ok(f"{name}: Elasticsearch {version}")


def _about_licence(name: str, reply: Reply | None) -> Finding:
    match reply.json if reply is not None and reply.status == 200 else None:
        case {"license": {"type": str(kind), "status": str(status)}}:
            if status != "active":
                return warning(f"{name}: the licence [{kind}] is [{status}]")
            return ok(f"{name}: the licence is [{kind}]")
    return ok(f"{name}: its licence is unknown, as the proxy may not ask ([monitor])")


def _about_plugin(name: str, reply: Reply | None) -> Finding:
    if reply is None:
        return ok(f"{name}: whether it has an inference plugin is unknown")
    if lacks_inference(reply.body, None):
        return ok(f"{name} has no inference plugin: the proxy answers all of _inference")
    return ok(f"{name} has an inference plugin: endpoints of other services stay its own")


async def _is_the_proxy(url: URL, config: Config) -> bool:
    """Whether the name leads to an address of this machine on which the proxy would listen."""
    listening = split_address(config.listen)
    port = url.port or 0
    if not port or port != listening[1]:
        return False
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            url.host, port, type=socket.SOCK_STREAM
        )
    except OSError:
        return False  # the first question says so
    addresses = {str(address[0]) for *_, address in found}
    return any(
        is_own(listening, (address, port)) or (is_any(listening[0]) and _is_here(address))
        for address in addresses
    )


def _is_here(address: str) -> bool:
    """Whether it is an address of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        try:
            attempt.bind((address, 0))
        except OSError:
            return False
    return True
