"""What is said of the service."""

from __future__ import annotations

import pytest

from proxy.inference.catalogue import render_services
from proxy.inference.endpoints import TaskType


@pytest.mark.parametrize("task", TaskType)
def test_the_service_is_shown_for_each_of_its_tasks(task: TaskType):
    (service,) = render_services(task)
    assert service["service"] == "hugging_face"
    assert TaskType.ANY not in service["task_types"]
    settings = service["configurations"]
    assert {name for name, one in settings.items() if one["required"]} == {"api_key", "url"}
    assert {name for name, one in settings.items() if one["sensitive"]} == {"api_key"}
