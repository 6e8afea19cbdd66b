"""What a start says."""

from __future__ import annotations

import logging

import pytest

from proxy.app import Facts
from proxy.config import Config, UpstreamConfig
from proxy.serving.summary import report_start

UPSTREAM = Config(upstream=UpstreamConfig(url="http://es:9200"))


def said(caplog, config=UPSTREAM, url="http://127.0.0.1:9201", **facts):
    caplog.set_level(logging.INFO, "proxy")
    known = {"upstream_version": "9.2.4", "security": True, "endpoints": 3, **facts}
    report_start(config, url, Facts(**known))
    first, *warnings = [line.getMessage() for line in caplog.records]
    caplog.clear()
    return first, warnings


def test_it_says_what_is_served(caplog):
    line, warnings = said(caplog)
    assert line.startswith("version ")
    assert line.endswith(
        " at http://127.0.0.1:9201: upstream [http://es:9200] (version 9.2.4, security on), "
        "store elasticsearch, 3 inference endpoints"
    )
    assert warnings == []


def test_it_says_what_could_not_be_found_out(caplog):
    line, warnings = said(caplog, upstream_version=None, security=None, endpoints=None)
    assert "(version unknown, security unknown), store elasticsearch, unknown inference" in line
    assert warnings == []


def test_it_warns_of_a_proxy_without_an_upstream(caplog):
    line, warnings = said(caplog, Config(), security=None)
    assert ": no upstream, store sqlite, 3 inference endpoints" in line
    (warning,) = warnings
    assert "there is no upstream: only _inference is served" in warning


@pytest.mark.parametrize("address", ["0.0.0.0:9201", "[::]:9201", "10.0.0.5:9201"])
def test_it_warns_of_a_proxy_that_is_open_to_everybody(caplog, address):
    url = f"https://{address}"
    for config, facts in ((UPSTREAM, {"security": False}), (Config(), {})):
        _, warnings = said(caplog, config, url, **facts)
        assert f"other machines can reach {url}, and nobody's credentials are" in warnings[-1]
    assert said(caplog, url=url)[1] == []
    assert said(caplog, url=url, security=None)[1] == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "localhost:1"])
def test_an_open_proxy_for_this_machine_alone_is_no_cause_for_a_warning(caplog, address):
    assert said(caplog, url=f"http://{address}", security=False)[1] == []
