"""Bodies that are small on the wire, or quite ordinary, and take long to read."""

from __future__ import annotations

from typing import Final

from tests.siege.attacker import Attacker
from tests.siege.catalogue import attack
from tests.siege.wire import request

MANY: Final = 10_000_000
MIB: Final = 1 << 20


# 1: texts that a parser walks through step by step


@attack(1, brief=True)
async def newline_escapes(caller: Attacker) -> None:
    """10 million escapes in one text: 20 KB of gzip"""
    body = b'{"input":"' + rb"\n" * MANY + b'"}'
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1, brief=True)
async def comment_lines(caller: Attacker) -> None:
    """10 million lines of comments before a body"""
    body = b"//\n" * MANY + b'{"input":"x"}'
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def block_comments(caller: Attacker) -> None:
    """the same as comments of the other kind, between all tokens"""
    body = b'{"input"' + b"/**/ " * MANY + b':"x"}'
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def unicode_escapes(caller: Attacker) -> None:
    """a text of escapes that ends in half a character, which the fast parser refuses"""
    body = b'{"input":"' + rb"\u00e9" * MANY + rb'\ud800"}'
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def text_without_end(caller: Attacker) -> None:
    """a text of escapes without a quote at its end"""
    body = b'{"input":"' + rb"\n" * MANY
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def long_key(caller: Attacker) -> None:
    """escapes in a name, in the configuration of an endpoint"""
    body = b'{"' + rb"\n" * MANY + b'":1}'
    await caller.flood(4, request("PUT", "/_inference/completion/key", body, zipped=True))


@attack(1)
async def long_number(caller: Attacker) -> None:
    """a number of 10 million digits"""
    body = b'{"input":' + b"1" * MANY + b"}"
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def long_word(caller: Attacker) -> None:
    """a word of 10 million letters where a value belongs"""
    body = b'{"input":' + b"a" * MANY + b"}"
    await caller.flood(4, await caller.inference(body=body, zipped=True))


@attack(1)
async def blank_lines_in_body(caller: Attacker) -> None:
    """90 MB of blanks around a body in UTF-16"""
    body = ("\n" * (4 * MANY) + '{"input":"x"}').encode("utf-16-le")
    await caller.flood(4, await caller.inference(body=body, zipped=True))


# 4: ordinary, but large


@attack(4, brief=True)
async def long_text(caller: Attacker) -> None:
    """a text of 95 MB"""
    body = b'{"input":"' + b"some words " * (95 * MIB // 11) + b'"}'
    await caller.flood(2, await caller.inference(body=body))


@attack(4)
async def long_text_zipped(caller: Attacker) -> None:
    """the same as gzip, with letters beyond ASCII"""
    body = b'{"input":"' + "gr\u00fc\u00dfe ".encode() * (40 * MIB // 8) + b'"}'
    await caller.flood(2, await caller.inference(body=body, zipped=True))


@attack(4)
async def many_texts(caller: Attacker) -> None:
    """10,000 inputs, and as many names that nobody knows"""
    inputs = b",".join([b'"some words"'] * 10_000)
    unknown = b",".join(b'"inputt%d":1' % number for number in range(50_000))
    body = b'{"input":[' + inputs + b"]," + unknown + b"}"
    await caller.flood(4, await caller.inference(body=body))


@attack(4, brief=True)
async def unknown_parameters(caller: Attacker) -> None:
    """thousands of parameters that are nearly known"""
    tail = "?" + "&".join(f"timeou{number}=1" for number in range(4000))
    await caller.flood(4, await caller.inference(tail=tail))


# 5: what is read beside the loop


@attack(5, brief=True)
async def yaml(caller: Attacker) -> None:
    """sixteen callers send 256 KiB of YAML, while others' larger bodies wait for a thread"""
    body = b'input: ["' + b'a", "' * (255 * 1024 // 5) + b'"]\n'
    target = await caller.endpoint()
    await caller.flood(
        16, request("POST", target, body, headers={"Content-Type": "application/yaml"})
    )


@attack(5)
async def yaml_lists(caller: Attacker) -> None:
    """the same, of nothing but brackets"""
    target = await caller.endpoint()
    headers = {"Content-Type": "application/yaml"}
    await caller.flood(16, request("POST", target, b"[[]," * 65_000, headers=headers))


@attack(5)
async def cbor(caller: Attacker) -> None:
    """sixteen callers send CBOR of as many values as are allowed"""
    body = b"\xa1\x65input\x9a\x00\x01\x80\x00" + b"\x61a" * 0x18000
    target = await caller.endpoint()
    await caller.flood(
        16, request("POST", target, body, headers={"Content-Type": "application/cbor"})
    )


@attack(5)
async def values(caller: Attacker) -> None:
    """sixteen callers send JSON of as many values as are allowed, and a mistake at its end"""
    await caller.flood(
        16, await caller.inference(body=b'{"input":["a"],"x":[' + b"[]," * 99_000 + b"!]}")
    )
