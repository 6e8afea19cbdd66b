"""The complete tour, as `make demo` runs it, with a user's own Elasticsearch."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest
from elasticsearch import Elasticsearch

from demo.steps import STEPS
from testbed.processes import ROOT, Process
from tests.support.processes import clean_environ
from tests.support.users import USERS

TIMEOUT = 300.0  # seconds; the first run fetches the models


@pytest.fixture
def tour(tmp_path):
    """Starts tours, and ends them."""
    running = []

    def start(**environ):
        command = [sys.executable, "-m", "demo.tour"]
        running.append(
            Process(command, clean_environ(tmp_path, {"TMPDIR": str(tmp_path), **environ}))
        )
        return running[-1]

    yield start
    for process in running:
        process.stop()


def names(client):
    """The indices of tours, hidden ones included."""
    return set(client.indices.get(index="*tour*,*passages*", expand_wildcards="all"))


def quality_printed(text):
    """The figures of each way to search, by the first word of its name."""
    rows = re.findall(
        r"^ *\|? *(words|meaning|both, \w+)\b.*?([\d.]+) .*?([\d.]+) .*?([\d.]+) ", text, re.M
    )
    return {way: [float(figure) for figure in figures] for way, *figures in rows}


def assert_as_in_the_readme(process):
    told = quality_printed((ROOT / "README.md").read_text())
    measured = quality_printed(process.output)
    assert len(told) == 4
    assert measured == {way: pytest.approx(figures, abs=0.05) for way, figures in told.items()}


def assert_whole(process):
    code = process.wait(TIMEOUT)
    assert code == 0, process.output
    for number, (title, _) in enumerate(STEPS, 1):
        assert f"\n{number}  {title}\n" in process.output
    assert "✗" not in process.output
    assert "All as it should be" in process.output
    assert "\x1b" not in process.output
    assert_as_in_the_readme(process)


def test_the_tour_leaves_nothing_behind_in_a_users_elasticsearch(tour, elasticsearch):
    process = tour(ELASTICSEARCH_URL=elasticsearch.url)
    assert_whole(process)
    assert f"{elasticsearch.url}  (yours)" in process.output
    assert "/_inference/rerank/tour-" in process.output
    with Elasticsearch(elasticsearch.url) as client:
        assert names(client) == set()


def test_the_tour_passes_security_with_an_api_key(tour, secured_elasticsearch):
    with Elasticsearch(
        secured_elasticsearch.url, basic_auth=("admin", USERS["admin"][0])
    ) as client:
        key = client.security.create_api_key(name="tour")["encoded"]
        process = tour(ELASTICSEARCH_URL=secured_elasticsearch.url, ELASTIC_API_KEY=key)
        assert_whole(process)
        assert key not in process.output
        assert names(client) == set()


def test_an_interrupted_tour_ends_what_it_started(tour, elasticsearch):
    process = tour(ELASTICSEARCH_URL=elasticsearch.url)
    process.wait_for("documents indexed", TIMEOUT)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    assert "what was started has been ended" in process.output
    with Elasticsearch(elasticsearch.url) as client:
        assert names(client) == set()


def test_an_elasticsearch_that_is_not_there_is_named(tour, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    process = tour(ELASTICSEARCH_URL=url)
    assert process.wait(60) == 1
    assert (
        f"the Elasticsearch that ELASTICSEARCH_URL names [{url}] does not serve" in process.output
    )
    assert "The logs are in" in process.output


def test_missing_credentials_are_named(tour, secured_elasticsearch):
    process = tour(ELASTICSEARCH_URL=secured_elasticsearch.url)
    assert process.wait(60) == 1
    assert "ELASTIC_API_KEY is needed" in process.output
