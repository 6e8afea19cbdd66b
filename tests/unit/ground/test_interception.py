"""Which raw targets the application answers."""

from __future__ import annotations

import pytest

from proxy.ground.interception import is_inference


@pytest.mark.parametrize(
    "target",
    [
        b"/_inference",
        b"/_inference/",
        b"/_inference//",
        b"/_inference//a",
        b"/_inference/a//b",
        b"/_inference?",
        b"/_inference?x=/a//b",
        b"/_inference/_all",
        b"/_inference/a/b",
        b"/_inference/a/b///?x",
        b"/_inference/a%2Fb",
        b"/_inference/%5finference",
        b"/_inference/a;b",
        b"/_inference/..",
    ],
)
def test_inference_targets(target):
    assert is_inference(target)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"//",
        b"/?/_inference",
        b"//_inference",
        b"/./_inference",
        b"/x/../_inference",
        b"/%5finference",
        b"/%5Finference/x",
        b"/_%69nference",
        b"/_INFERENCE",
        b"/_Inference/x",
        b"/_inference%2fx",
        b"/_inference;a=b/x",
        b"/_inferences",
        b"/_inference_x",
        b"/\\_inference",
        b"/x/_inference",
        b"/_cluster/health",
    ],
)
def test_targets_of_others(target):
    assert not is_inference(target)
