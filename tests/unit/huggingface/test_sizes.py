"""What a server takes in one call, as it says and shows."""

from __future__ import annotations

import pytest

from proxy.huggingface.batching import MAX_BYTES, Batch, texts_of
from proxy.huggingface.calls import Refusal
from proxy.huggingface.sizes import Sizes
from tests.support.clock import Clock

TOO_MANY = Refusal(422, b'{"error":"batch size 32 > maximum allowed batch size 20"}')
TOO_LARGE = Refusal(413, b"Failed to buffer the request body: length limit exceeded")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sizes(clock):
    return Sizes(32, clock)


def batch(count: int, length: int = 10) -> Batch:
    return Batch(texts_of(["x" * length] * count))


def test_what_is_configured_holds_until_something_else_is_known(sizes):
    assert (sizes.inputs, sizes.bytes) == (32, MAX_BYTES)


@pytest.mark.parametrize(("told", "taken"), [(8, 8), (32, 32), (512, 32), (None, 32)])
def test_a_server_that_takes_fewer_gets_fewer_but_none_gets_more(sizes, told, taken):
    sizes.told(told)
    assert sizes.inputs == taken


def test_the_number_in_a_refusal_is_kept(sizes):
    sizes.refused(batch(32), TOO_MANY)
    assert (sizes.inputs, sizes.bytes) == (20, MAX_BYTES)


@pytest.mark.parametrize("named", ["", " 0", " 32", " 99", " 123456789"])
def test_without_a_usable_number_it_is_a_half(sizes, named):
    sizes.refused(
        batch(32), Refusal(413, b'{"error":"maximum allowed batch size%b"}' % named.encode())
    )
    assert sizes.inputs == 16


def test_a_refusal_for_bytes_halves_these(sizes):
    sizes.refused(batch(4, 100_000), TOO_LARGE)
    assert (sizes.inputs, sizes.bytes) == (32, 200_006)


def test_a_refusal_of_few_bytes_is_no_rule(sizes):
    sizes.refused(batch(2), TOO_LARGE)
    assert sizes.bytes == 16 * 1024


def test_what_was_learned_last_of_a_larger_batch_does_not_count(sizes):
    sizes.refused(batch(8), TOO_MANY)
    sizes.refused(batch(32), TOO_MANY)
    assert sizes.inputs == 4


def test_what_was_learned_is_forgotten_after_an_hour(sizes, clock):
    sizes.refused(batch(32), TOO_MANY)
    sizes.refused(batch(4, 100_000), TOO_LARGE)
    clock.now += 3599
    assert sizes.inputs == 20
    clock.now += 2
    assert (sizes.inputs, sizes.bytes) == (32, MAX_BYTES)


def test_a_server_that_says_something_new_is_believed(sizes):
    sizes.told(16)
    sizes.refused(batch(16), TOO_MANY)
    sizes.told(16)
    assert sizes.inputs == 8
    sizes.told(24)
    assert sizes.inputs == 24
