from __future__ import annotations

import pytest

from proxy.config.addresses import is_any, is_own

PORT = 9201


@pytest.mark.parametrize(
    ("listening", "called"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "Proxy.LOCALHOST."),
        ("127.0.0.1", "0.0.0.0"),
        ("localhost", "::1"),
        ("0.0.0.0", "127.0.0.7"),
        ("::", "::ffff:127.0.0.1"),
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("proxy.test", "PROXY.test."),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_calls_that_come_back(listening, called):
    assert is_own((listening, PORT), (called, PORT))
    assert not is_own((listening, PORT), (called, PORT + 1))


@pytest.mark.parametrize(
    ("listening", "called"),
    [
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "localhost"),
        ("0.0.0.0", "10.0.0.1"),  # whose it is, only the machine knows
        ("proxy.test", "other.test"),
    ],
)
def test_calls_that_go_to_others(listening, called):
    assert not is_own((listening, PORT), (called, PORT))


def test_all_addresses():
    assert is_any("0.0.0.0")
    assert is_any("::")
    assert not is_any("127.0.0.1")
    assert not is_any("localhost")
