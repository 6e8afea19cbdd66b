"""Every contract case, against a real proxy process in front of a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import pytest

from tests.contract.api import Target, run_api_case
from tests.contract.casefiles import load_cases
from tests.contract.differences import BY_DESIGN, NOT_HERE, NOT_YET
from tests.contract.hf import run_hf_case
from tests.support.endpoints import delete_all_endpoints
from tests.support.stubs import FaultyServer

Case = Mapping[str, Any]

API: Final = load_cases("api-cases.jsonl")
HF: Final = load_cases("hf-cases.jsonl")
KIBANA: Final = load_cases("kibana-cases.jsonl")  # what Kibana's server and its console send


def needs_security(case: Case) -> bool:
    return "security" in case.get("requires", ())


def needs_time(case: Case) -> bool:
    """Whether it is about the default retry delays."""
    return "min_elapsed_ms" in case


def each(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Parametrize by cases, with their ids as names; those in NOT_YET must fail."""
    here = (case for case in cases if case["id"] not in NOT_HERE)
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case["id"], marks=list(marks(case))) for case in here]
    )


def marks(case: Case) -> Iterator[pytest.MarkDecorator]:
    if case["id"] in NOT_YET:
        yield pytest.mark.xfail(reason=NOT_YET[case["id"]])
    if "max_elapsed_ms" in case:
        yield pytest.mark.alone


def check(case: Case, target: Target, run: Callable[[Case], list[str]]) -> None:
    """Run a case; one in BY_DESIGN must pass with our expectation and fail with its own."""
    difference = BY_DESIGN.get(case["id"])
    expected = case if difference is None else {**case, **difference.changes}
    delete_all_endpoints(target.url, target.authorization)
    if problems := run(expected):
        pytest.fail("\n".join(problems), pytrace=False)
    if difference is not None:
        delete_all_endpoints(target.url, target.authorization)
        assert run(case), f"no difference any more: {difference.reason}"


@each(case for case in API.values() if not needs_security(case))
def test_api_case(case: Case, open_target: Target) -> None:
    check(case, open_target, lambda each: run_api_case(each, open_target))


@each(case for case in API.values() if needs_security(case))
def test_secured_api_case(case: Case, secured_target: Target) -> None:
    check(case, secured_target, lambda each: run_api_case(each, secured_target))


@each(KIBANA.values())
def test_kibana_case(case: Case, open_target: Target) -> None:
    check(case, open_target, lambda each: run_api_case(each, open_target))


@each(case for case in HF.values() if not needs_time(case))
def test_hf_case(case: Case, open_target: Target, stub: FaultyServer) -> None:
    check(case, open_target, lambda each: run_hf_case(each, open_target, stub))


@each(case for case in HF.values() if needs_time(case))
def test_hf_case_with_real_delays(case: Case, patient_target: Target, stub: FaultyServer) -> None:
    check(case, patient_target, lambda each: run_hf_case(each, patient_target, stub))


def test_every_exception_names_a_case_and_only_once():
    lists = [*BY_DESIGN, *NOT_YET, *NOT_HERE]
    assert len(lists) == len(set(lists))
    assert set(lists) <= API.keys() | HF.keys() | KIBANA.keys()


def test_the_case_files_are_whole():
    assert (len(API), len(HF), len(KIBANA)) == (120, 98, 37)
    requirements = {name for case in API.values() for name in case.get("requires", ())}
    assert requirements == {"security", "x-pack-ml", "basic-license-enforced"}
