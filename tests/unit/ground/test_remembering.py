"""What a text means is worked out once, if it is short or the latest; what is raised, each time."""

import pytest

from proxy.ground.remembering import remembered


class Count:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, unit: str, text: str) -> str:
        self.calls += 1
        if text == "bad":
            raise ValueError(text)
        return text + unit


@pytest.fixture
def count() -> Count:
    return Count()


def test_a_short_text_is_looked_into_once(count: Count) -> None:
    recall = remembered(count.__call__)
    assert [recall("s", "5"), recall("s", "5"), recall("m", "5")] == ["5s", "5s", "5m"]
    assert count.calls == 2


def test_of_longer_texts_the_latest_is_kept(count: Count) -> None:
    recall = remembered(count.__call__)
    text, other = "x" * 300, "y" * 300
    assert recall("s", text) == recall("s", text) == text + "s"
    assert count.calls == 1
    assert (recall("s", other), recall("s", text)) == (other + "s", text + "s")
    assert count.calls == 3


def test_a_very_long_text_is_not_kept(count: Count) -> None:
    recall = remembered(count.__call__)
    text = "x" * 70_000
    assert recall("s", text) == recall("s", text)
    assert count.calls == 2


def test_every_caller_gets_an_error_of_its_own(count: Count) -> None:
    recall = remembered(count.__call__)
    errors = []
    for _ in range(2):
        with pytest.raises(ValueError, match="bad") as raised:
            recall("s", "bad")
        errors.append(raised.value)
    assert errors[0] is not errors[1]
