from __future__ import annotations

import pytest

from proxy.api.routes import ROUTES
from proxy.inference.actions import InferenceAction
from proxy.inference.releases import PROFILES


def test_every_route_names_the_action_that_must_be_allowed():
    for path, methods in ROUTES.items():
        for method, route in methods.items():
            action = {
                "GET": InferenceAction.GET,
                "POST": InferenceAction.POST,
                "PUT": InferenceAction.UPDATE if path.endswith("_update") else InferenceAction.PUT,
                "DELETE": InferenceAction.DELETE,
            }[method]
            if "_services" in path:
                action = InferenceAction.SERVICES
            if ".diagnostics" in path:
                action = InferenceAction.DIAGNOSTICS
            assert route.action == action, (path, method)


def test_bodies_belong_to_post_and_put():
    for methods in ROUTES.values():
        for method, route in methods.items():
            assert route.has_body == (method in ("POST", "PUT"))
            assert not route.has_body or route.times


def test_only_those_that_write_an_id_check_it():
    for methods in ROUTES.values():
        for method, route in methods.items():
            assert route.checks_id == (method == "PUT")


def test_the_names_of_routes_are_those_of_the_metrics():
    names = {route.name for methods in ROUTES.values() for route in methods.values()}
    assert names == {
        *("get_endpoint", "get_endpoints", "put_endpoint", "update_endpoint", "delete_endpoint"),
        *("get_services", "get_diagnostics", "infer", "stream"),
    }


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("8.19", ("master_timeout",)),
        ("9.2", ("master_timeout",)),
        ("9.5", ("master_timeout", "timeout")),
        ("9.6", ("master_timeout", "timeout")),
    ],
)
def test_an_update_has_a_timeout_in_newer_releases(release, names):
    route = ROUTES["/_inference/{task_type_or_id}/_update"]["PUT"]
    assert route.times_in(PROFILES[release]) == names
