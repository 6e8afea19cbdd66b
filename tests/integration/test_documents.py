"""Whatever the documents tell users to type is typed here, a section at a time, as it stands.

Placeholders are replaced by real parts: PLACEHOLDERS in tests/support/documents.py.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from elasticsearch import Elasticsearch
from yarl import URL

from testbed.processes import ROOT, Server, free_ports
from tests.support.documents import (
    DOCUMENTS,
    Block,
    Command,
    blocks,
    commands,
    is_as_shown,
    substituted,
)
from tests.support.processes import Serve, clean_environ
from tests.support.security import ELASTIC

KINDS: Final = ("console", "python", "indented")
SCRIPT: Final = ("python", "text")  # a script, and what it prints
BLOCKS: Final = [block for document in DOCUMENTS for block in blocks(document)]
README: Final = ROOT / "README.md"
CHECKED: Final = ("make", "pip")  # by tests/unit/test_documents.py, as they take minutes
SERVERS: Final = ("python -m proxy serve", "python -m proxy provider")
PATIENCE: Final = 300.0  # seconds; the first start of a provider fetches the models


def is_run(block: Block) -> bool:
    found = [command.program for command in commands(block)]
    return block.kind == "python" or any(program not in CHECKED for program in found)


SECTIONS: Final = list(
    dict.fromkeys(
        (block.document, block.section)
        for block in BLOCKS
        if block.kind in KINDS and not block.reason_not_to_run and is_run(block)
    )
)


class Terminal:
    """A shell in a folder of its own: what one command exports, the next one sees."""

    def __init__(
        self, folder: Path, serve: Serve, surroundings: dict[str, str], environ: dict[str, str]
    ) -> None:
        self.folder = folder
        self._serve = serve
        self._surroundings = surroundings
        self._environ = environ

    def type(self, command: Command) -> str:
        """Run a command, or start it and wait until it listens; what it printed."""
        text = substituted(command.text, self._surroundings).removesuffix("&").strip()
        shown = substituted(command.output, self._surroundings)
        if text.startswith(SERVERS):
            printed = self._start(text).output
            missing = [
                line
                for line in shown.splitlines()
                if not any(is_as_shown(line, told) for told in printed.splitlines())
            ]
            assert not missing, printed
            return printed
        printed = self.run(text)
        assert not shown or is_as_shown(shown, printed), f"{text}\n{printed}"
        return printed

    def run(self, text: str) -> str:
        """What a command prints; it must not fail."""
        state = self.folder / ".environment"
        done = subprocess.run(
            ["bash", "-c", f"{text}\nstatus=$?; env -0 > {state}; exit $status"],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        pairs = (pair.partition("=") for pair in state.read_text().split("\0") if pair)
        self._environ = {name: value for name, _, value in pairs}
        return done.stdout

    def _start(self, text: str) -> Server:
        command = ["bash", "-c", f"cd {self.folder}; exec {text}"]
        return self._serve.start(Server(command, self._environ, name=text), timeout=PATIENCE)

    def export(self, name: str, value: str | None) -> None:
        """Set a variable; None removes it."""
        self._environ.pop(name, None)
        if value is not None:
            self._environ[name] = value


@pytest.fixture
def surroundings(tmp_path) -> dict[str, str]:
    """What takes the place of addresses that are this test's own."""
    proxy, provider = (f"127.0.0.1:{free_ports()}" for _ in range(2))
    return {
        "proxy": f"http://{proxy}",
        "proxy_address": proxy,
        "provider": f"http://{provider}",
        "provider_address": provider,
        "token": "hf_token",
        "folder": f"{tmp_path}/",
        "password": f"ELASTIC_PASSWORD={ELASTIC}",
    }


@pytest.fixture
def terminal(tmp_path, serve, surroundings, own_index) -> Terminal:
    environ = clean_environ(tmp_path / "state", own_index)
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "HFPROXY_LISTEN": surroundings["proxy_address"],
        "HFPROXY_LOG_FORMAT": "text",
        "HFPROXY_PROVIDER_TIMEOUT": "120",
    }
    return Terminal(tmp_path, serve, surroundings, environ)


@pytest.fixture
def real_parts(surroundings, own_index, elasticsearch, stub) -> Iterator[None]:
    """Puts an Elasticsearch and a provider of sparse embeddings into the surroundings."""
    surroundings |= {
        "open": elasticsearch.url,
        "open_address": str(URL(elasticsearch.url).authority),
        "sparse": f"{stub.url}/sparse",
    }
    yield
    with Elasticsearch(elasticsearch.url) as client:
        index = own_index["HFPROXY_STORE_INDEX"]
        client.options(ignore_status=404).indices.delete(index=index)


@pytest.mark.parametrize(
    ("document", "section"),
    SECTIONS,
    ids=[f"{document.name}-{section or 'the beginning'}" for document, section in SECTIONS],
)
def test_a_section_works_as_it_is_written(
    document, section, terminal, surroundings, real_parts, request
):
    everything = [b for b in BLOCKS if (b.document, b.section) == (document, section)]
    found = [b for b in everything if b.kind in KINDS and not b.reason_not_to_run]
    printed = {b: after for b, after in pairwise(everything) if (b.kind, after.kind) == SCRIPT}
    text = "\n".join(block.text for block in found)
    if "https://localhost:9200" in text:
        stock = request.getfixturevalue("stock_elasticsearch")
        surroundings["stock"] = stock.url
        shutil.copy(stock.authority, terminal.folder / "http_ca.crt")
    models = surroundings["provider"]
    if SERVERS[1] not in text:
        models = surroundings["provider"] = request.getfixturevalue("provider").url
    surroundings |= {"embed": models, "rerank": f"{models}/rerank"}
    surroundings["chat"] = f"{models}/v1/chat/completions"
    if SERVERS[0] not in text:
        listen = "--upstream http://127.0.0.1:9200 --listen 127.0.0.1:9201"
        terminal.type(Command(text=f"{SERVERS[0]} {listen}", output=""))
    for block in found:
        if block.kind == "python":
            sample = terminal.folder / "sample.py"
            sample.write_text(substituted(block.text, surroundings), encoding="utf-8")
            told = terminal.run("python sample.py")
            assert block not in printed or is_as_shown(printed[block].text, told), told
            continue
        for command in commands(block):
            if command.program not in CHECKED:
                terminal.type(command)


def test_the_smallest_configuration_serves(
    terminal, surroundings, real_parts, own_index, stock_elasticsearch
):
    surroundings["stock"] = stock_elasticsearch.url
    shutil.copy(stock_elasticsearch.authority, terminal.folder / "ca.crt")
    terminal.export("ELASTIC_PASSWORD", ELASTIC)
    made = terminal.run(f"python -m proxy setup --upstream {stock_elasticsearch.url} --ca ca.crt")
    key = re.search("ELASTIC_API_KEY=(.*)", made)
    assert key is not None
    terminal.export("ELASTIC_API_KEY", key[1])
    terminal.export("HFPROXY_STORE_ENCRYPTION_KEY", None)
    [rand, serve] = sorted(_of("minimal.yml"), key=lambda block: block.text)
    terminal.run(f"umask 077; {rand.text} > encryption.key")
    _write(terminal, "minimal.yml", surroundings)
    printed = terminal.type(*commands(serve))
    assert "WARNING" not in printed


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.document.name == "proxy.yml" and b.kind == "comment"], ids=str
)
def test_the_full_configuration_does_what_its_comments_say(
    block, terminal, surroundings, real_parts
):
    _write(terminal, "proxy.yml", surroundings)
    for command in commands(block):
        assert terminal.type(command)


def _of(name: str) -> list[Block]:
    return [block for block in BLOCKS if block.document.name == name]


def _write(terminal: Terminal, name: str, surroundings) -> None:
    text = (ROOT / "configs" / name).read_text("utf-8")
    (terminal.folder / name).write_text(substituted(text, surroundings), encoding="utf-8")


OPENSSL: Final = [b for b in BLOCKS if b.kind in ("span", "comment") and b.text[:7] == "openssl"]


@pytest.mark.parametrize("block", OPENSSL, ids=str)
def test_openssl_makes_a_key(block, terminal):
    assert re.fullmatch(r"[0-9a-f]{64}\n", terminal.run(block.text))


# What the limits say


def names_in(limit: str, language: str) -> list[str]:
    """The settings that a limit of README.md names for a language."""
    text = README.read_text("utf-8").partition(f"- **{limit}**")[2].partition("\n- ")[0]
    part = text.partition(f"in {language} ")[2].partition(";")[0]
    return re.findall("`(.+?)`", part)


def test_a_client_that_sniffs_goes_past_the_proxy(open_proxy, elasticsearch):
    past = URL(elasticsearch.url).port
    with Elasticsearch(open_proxy.url, sniff_on_start=True) as client:
        assert past in [node.port for node in client.transport.node_pool.all()]
    with Elasticsearch(open_proxy.url) as client:
        client.inference.get()
        assert [node.port for node in client.transport.node_pool.all()] == [open_proxy.port]


def test_the_settings_that_sniff_are_named_and_off_by_default():
    named = names_in("Clients that sniff", "Python")
    accepted = inspect.signature(Elasticsearch.__init__).parameters
    switches = [name for name in accepted if name.startswith("sniff_") and "timeout" not in name]
    assert sorted(named) == sorted(switches)


@pytest.mark.parametrize("name", ["semantic_text", "inference", "text_similarity_reranker"])
def test_what_the_first_screen_names_works_unasked(name, open_proxy, provider):
    text = README.read_text("utf-8").partition("```")[0]
    assert f"`{name}`" in text
    with Elasticsearch(open_proxy.url) as client:
        for task_type, path in (("text_embedding", "embed"), ("rerank", "rerank")):
            client.inference.put_hugging_face(
                task_type=task_type,
                huggingface_inference_id=f"first-{task_type}",
                service="hugging_face",
                service_settings={"url": f"{provider.url}/{path}", "api_key": "x"},
            )
        field = {"type": "semantic_text", "inference_id": "first-text_embedding"}
        client.indices.create(index="first-screen", mappings={"properties": {"text": field}})
        try:
            _use_inside(client, name)
        finally:
            client.indices.delete(index="first-screen")
            client.options(ignore_status=404).ingest.delete_pipeline(id="first-screen")


def _use_inside(client: Elasticsearch, name: str) -> None:
    document = {"text": "a harbour", "n": 1}
    match name:
        case "semantic_text":
            client.index(index="first-screen", document=document, refresh=True)
            query = {"semantic": {"field": "text", "query": "harbour"}}
            found = client.search(index="first-screen", query=query)
            assert found["hits"]["total"]["value"] == 1
        case "inference":
            ways = [{"input_field": "text", "output_field": "vector"}]
            inference = {"model_id": "first-text_embedding", "input_output": ways}
            client.ingest.put_pipeline(id="first-screen", processors=[{"inference": inference}])
            tried = client.ingest.simulate(id="first-screen", docs=[{"_source": document}])
            assert tried["docs"][0]["doc"]["_source"]["vector"]
        case _:
            client.index(index="first-screen", document=document, refresh=True)
            ranked = {
                "retriever": {"standard": {"query": {"match_all": {}}}},
                "field": "text",
                "inference_id": "first-rerank",
                "inference_text": "harbour",
            }
            retriever = {"text_similarity_reranker": ranked}
            assert client.search(index="first-screen", retriever=retriever)["hits"]["hits"]
