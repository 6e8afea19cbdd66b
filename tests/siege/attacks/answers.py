"""Answers that take long to make, or quote what they refuse to callers who do not read."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tests.siege.attacker import Attacker
from tests.siege.attacks.providers import EVENTS, event, whole
from tests.siege.catalogue import attack, reply
from tests.siege.provider import head
from tests.siege.wire import request

TOKEN: Final = "hf_" + "aB3" * (49 * 1024 // 3)
LONG: Final = 90_000_000  # characters


# 3: filter_path


@reply
async def names():
    yield whole(b"[{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}]")


@attack(3, brief=True)
async def many_filters(caller: Attacker) -> None:
    """thousands of patterns, and as many names"""
    patterns = ",".join(f"**.*{number}*a" for number in range(4000))
    tail = f"?filter_path={patterns}"
    await caller.flood(2, await caller.inference(names, "sparse_embedding", tail=tail))


@reply
async def long_name():
    yield whole(b'[{"' + b"a" * 10_000 + b'":0}]')


@attack(3, brief=True)
async def filter_of_stars(caller: Attacker) -> None:
    """one pattern of many wildcards against a long name"""
    tail = f"?filter_path={'**.' + '*a' * 30 + '*b'}"
    await caller.flood(2, await caller.inference(long_name, "sparse_embedding", tail=tail))


@attack(3)
async def filters_of_a_list(caller: Attacker) -> None:
    """thousands of patterns for an answer that needs no provider"""
    patterns = ",".join(["-" + "**." * 3 + "*a*a*a*b"] * 3000)
    await caller.flood(4, request("GET", f"/_inference/_services?filter_path={patterns}"))


@attack(3)
async def filters_of_levels(caller: Attacker) -> None:
    """patterns of many levels that may be any"""
    pattern = ",".join(["**.*." * 200 + "x"] * 40)
    await caller.flood(4, request("GET", f"/_inference/_services?filter_path={pattern}"))


# 4: large answers, and what is looked for in them


@reply
async def two_million():
    yield whole(b"[[" + b"0.5," * 2_000_000 + b"0.5]]")


@attack(4, brief=True)
async def pretty_numbers(caller: Attacker) -> None:
    """2 million numbers, indented"""
    await caller.flood(2, await caller.inference(two_million, tail="?pretty"))


@attack(4, brief=True)
async def numbers_in_yaml(caller: Attacker) -> None:
    """2 million numbers as YAML"""
    await caller.flood(2, await caller.inference(two_million, tail="?format=yaml"))


@attack(4)
async def numbers_in_cbor(caller: Attacker) -> None:
    """2 million numbers as CBOR, filtered"""
    tail = "?format=cbor&filter_path=*.embedding"
    await caller.flood(2, await caller.inference(two_million, tail=tail))


@reply
async def numbers_zipped():
    yield whole(b"[[" + b"0.5," * 1_000_000 + b"0.5]]")


@attack(4)
async def zipped_answers(caller: Attacker) -> None:
    """a million numbers, indented, for a caller who wants gzip"""
    data = await caller.inference(numbers_zipped, tail="?pretty")
    await caller.flood(2, data.replace(b"\r\n", b"\r\nAccept-Encoding: gzip\r\n", 1))


@reply
async def choices():
    yield head(EVENTS)
    one = b'{"delta":{"content":"a"}}'
    while True:
        yield event(b'{"choices":[' + (one + b",") * 600_000 + one + b"]}")


@attack(4, brief=True)
async def many_choices(caller: Attacker) -> None:
    """events with 600,000 choices"""
    await caller.flood(2, await caller.inference(choices, "completion", tail="/_stream"))


@reply
async def empty_choices():
    yield head(EVENTS)
    while True:
        yield event(b'{"choices":[' + b'{"index":0,"delta":{}},' * 40_000 + b'{"delta":{}}]}')


@attack(4)
async def many_choices_of_a_chat(caller: Attacker) -> None:
    """chat events of 1 MB with as many choices as fit"""
    body = b'{"messages":[{"role":"user","content":"siege"}]}'
    data = await caller.inference(empty_choices, "chat_completion", tail="/_stream", body=body)
    await caller.flood(2, data)


@reply
async def error_event():
    yield head(EVENTS)
    yield event(b'{"error":{"message":"' + b"hf_aB3aB3 " * 100_000 + b'"}}')


@attack(4, brief=True)
async def long_token(caller: Attacker) -> None:
    """a token of 49 KB, looked for in an error of 1 MB"""
    data = await caller.inference(error_event, "completion", tail="/_stream", api_key=TOKEN)
    await caller.flood(2, data)


@reply
async def error_reply():
    body = b'{"error":"' + quote("hf_aB3 &#97;%20 \\u0061").encode() * 3000 + b'"}'
    yield head(status=400, length=len(body)) + body


@attack(4)
async def many_spellings(caller: Attacker) -> None:
    """a token that an error may hold in many spellings"""
    await caller.flood(4, await caller.inference(error_reply, api_key=TOKEN[:2000]))


# 7: refusals


@attack(7, least=5.0, brief=True)
async def unread_quotes(caller: Attacker) -> None:
    """eight callers send 90 KB of gzip, are quoted, and do not read"""
    body = b'{"service":"' + b"A" * LONG + b'"}'
    data = request("PUT", "/_inference/completion/quoted", body, zipped=True)
    await caller.hold_answers(8, data)


@attack(7, least=5.0)
async def unread_names(caller: Attacker) -> None:
    """the same with a setting that nobody knows"""
    settings = b'{"url":"http://127.0.0.1:1/","api_key":"x","' + b"A" * LONG + b'":1}'
    body = b'{"service":"hugging_face","service_settings":' + settings + b"}"
    data = request("PUT", "/_inference/completion/quoted", body, zipped=True)
    await caller.hold_answers(8, data)


@attack(7, least=5.0)
async def unread_values(caller: Attacker) -> None:
    """the same with a value of the wrong type"""
    body = b'{"input":"siege","top_n":"' + b"A" * LONG + b'"}'
    data = await caller.inference(task="rerank", body=body, zipped=True)
    await caller.hold_answers(8, data)


@attack(7, least=5.0)
async def unread_urls(caller: Attacker) -> None:
    """the same with a URL that is none"""
    settings = b'{"url":"ht tp://' + b"A" * LONG + b'","api_key":"x"}'
    body = b'{"service":"hugging_face","service_settings":' + settings + b"}"
    data = request("PUT", "/_inference/completion/quoted", body, zipped=True)
    await caller.hold_answers(8, data)


@attack(7, least=5.0)
async def unread_targets(caller: Attacker) -> None:
    """hundreds of callers with targets of 60 KB do not read that there is no such endpoint"""
    await caller.hold([request("GET", "/_inference/" + "a" * 60_000)] * 400)
