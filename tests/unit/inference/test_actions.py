"""What a caller must be allowed, and by which privileges."""

from __future__ import annotations

import pytest

from proxy.inference.actions import InferenceAction


@pytest.mark.parametrize("action", InferenceAction)
def test_whoever_manages_may_do_everything(action: InferenceAction):
    assert {"manage_inference", "manage", "all"} <= set(action.granted_by)
    assert action.indices == ()


@pytest.mark.parametrize("action", InferenceAction)
def test_only_what_changes_nothing_is_for_those_who_monitor(action: InferenceAction):
    changes = action in (InferenceAction.PUT, InferenceAction.UPDATE, InferenceAction.DELETE)
    assert ("monitor_inference" in action.granted_by) is not changes
