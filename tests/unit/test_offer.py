"""Whether there is a semantic layer where nobody has said so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from proxy.assembly import DependentsIfOffered, Offer
from proxy.inference.ports import Uses
from tests.support.samples import make_endpoint


class Telling:
    """Tells what the proxy may, one answer after the other."""

    def __init__(self, answers: Sequence[bool | None]) -> None:
        self.answers = list(answers)

    async def __call__(self) -> bool | None:
        await asyncio.sleep(0)
        return self.answers.pop(0)


@pytest.mark.parametrize("wanted", [True, False])
async def test_nobody_is_asked_where_it_is_configured(wanted):
    offer = Offer(wanted, Telling([]))
    assert await offer.stands() is wanted
    assert offer.accepted.is_set() is wanted


@pytest.mark.parametrize("answer", [True, False])
async def test_an_answer_holds_for_good(answer):
    offer = Offer(None, Telling([answer]))
    assert tuple(await asyncio.gather(offer.stands(), offer.stands())) == (answer, answer)
    assert await offer.stands() is answer
    assert offer.accepted.is_set() is answer


async def test_it_stands_while_nobody_can_tell_and_is_withdrawn_once():
    offer, withdrawn = Offer(None, Telling([None, False])), []
    offer.withdraw = lambda: withdrawn.append(True)
    assert await offer.stands()
    assert not offer.accepted.is_set()
    assert tuple(await asyncio.gather(offer.stands(), offer.stands())) == (False, False)
    assert withdrawn == [True]


@pytest.mark.parametrize(
    ("wanted", "uses", "misfits"), [(True, Uses(indexes=("a",)), ("a",)), (False, Uses(), ())]
)
async def test_nothing_depends_on_endpoints_where_there_is_none(wanted, uses, misfits):
    class Layer:
        async def uses_of(self, inference_id):
            return Uses(indexes=("a",))

        async def misfits_of(self, endpoint):
            return ("a",)

    found = DependentsIfOffered(Offer(wanted, Telling([])), Layer())  # type: ignore[arg-type]
    assert await found.uses_of("e1") == uses
    assert await found.misfits_of(make_endpoint()) == misfits
