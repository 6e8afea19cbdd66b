"""What follows from the release of the upstream."""

from __future__ import annotations

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.upstreamrelease import UpstreamRelease
from tests.unit.semantic.stubs import NoUpstream


class Upstream(NoUpstream):
    def __init__(self, version: str | None) -> None:
        self.told = version
        self.asked = 0

    async def version(self) -> str | None:
        self.asked += 1
        return self.told


def of(version: str | None) -> UpstreamRelease:
    return UpstreamRelease(Upstream(version))


@pytest.mark.parametrize(
    ("version", "number"),
    [("8.15.0", (8, 15)), ("9.2.4-SNAPSHOT", (9, 2)), (None, None), ("latest", None)],
)
async def test_major_and_minor(version: str | None, number: tuple[int, int] | None):
    assert await of(version).number() == number


@pytest.mark.parametrize("version", ["8.15.0", "9.0.0", None])
async def test_fields_are_possible(version: str | None):
    await of(version).require_fields()


@pytest.mark.parametrize("version", ["8.14.3", "7.17.0"])
async def test_fields_are_refused_before_what_they_need(version: str):
    with pytest.raises(IllegalArgument, match=r"need Elasticsearch \[8\.15\] or later"):
        await of(version).require_fields()


@pytest.mark.parametrize(
    ("version", "bits", "hides"),
    [
        ("8.18.0", False, False),
        ("8.19.0", True, False),
        ("9.0.1", False, False),
        ("9.1.0", True, False),
        ("9.2.0", True, True),
        (None, True, True),
    ],
)
async def test_vectors(version: str | None, bits: bool, hides: bool):
    assert await of(version).quantises_to_bits() is bits
    assert await of(version).hides_vectors() is hides


async def test_retrievers_may_be_lacking_until_the_release_is_known():
    release = of("8.14.0")
    assert release.may_lack_retrievers()
    assert await release.knows_retrievers()
    assert not release.may_lack_retrievers()
    assert not await of("8.13.4").knows_retrievers()


async def test_it_is_asked_for_now_and_then():
    upstream = Upstream("9.2.0")
    release = UpstreamRelease(upstream)
    for _ in range(3):
        await release.number()
    assert upstream.asked == 1
