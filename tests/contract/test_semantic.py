"""Every case of semantic fields, against a real proxy in front of a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.contract.api import Target
from tests.contract.casefiles import load_cases
from tests.contract.semantic import Case, run_semantic_case
from tests.support.endpoints import delete_all_endpoints
from tests.support.processes import Serve
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread

CASES: Final = load_cases("semantic-cases.jsonl")


@pytest.fixture(scope="module")
def semantic_target(serve_for_session: Serve, elasticsearch) -> Iterator[Target]:
    """A proxy that offers semantic fields."""
    with in_thread(FaultyServer(semantic_reply)) as stub:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_STORE_INDEX": "hugging-face-inference-endpoints-semantic-cases",
        }
        proxy = serve_for_session(upstream=elasticsearch.url, env=env)
        yield Target(url=proxy.url, variables={"STUB": stub.url})


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_case(case: Case, semantic_target: Target) -> None:
    delete_all_endpoints(semantic_target.url)
    if problems := run_semantic_case(case, semantic_target):
        pytest.fail("\n".join(problems), pytrace=False)


def test_the_case_file_is_whole():
    assert len(CASES) == 22
