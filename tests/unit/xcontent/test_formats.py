"""The table of formats."""

from __future__ import annotations

import pytest

from proxy.inference.endpoints import TaskType
from proxy.xcontent.formats import READERS, WRITERS
from tests.support.bodies import read_body


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_task_types_are_written_as_texts(kind):
    data = WRITERS[kind]({"task_type": TaskType.RERANK})
    assert read_body(data, kind).plain() == {"task_type": "rerank"}


def test_every_format_that_is_read_is_written():
    assert set(READERS) == set(WRITERS)
