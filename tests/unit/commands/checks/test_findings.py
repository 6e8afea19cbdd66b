"""Findings of `check`."""

from __future__ import annotations

from proxy.commands.checks.findings import Level, error, ok, warning


def test_findings_are_lines_of_one_shape():
    assert str(ok("fine")) == "ok      fine"
    assert str(warning("hm")) == "warning hm"
    assert str(error("no")) == "error   no"


def test_only_an_error_is_made_less():
    assert error("no").mitigated() == warning("no")
    assert ok("fine").mitigated().level is Level.OK
