"""docker-compose.yml and the Dockerfile: what can be known of them without a container engine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from typing import Any, Final

import pytest
import yaml
from aiohttp import web

from proxy.commands.main import main
from proxy.config import DEFAULT_ADMIN, state_folder
from testbed.processes import ROOT

COMPOSE: Final = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
# Ports that the services listen on within the network of the stack.
PORTS: Final = {
    "elasticsearch": 9200,
    "proxy": 9201,
    "embedding": 80,
    "rerank": 80,
    "chat": 8080,
    "kibana": 5601,
}


def instruction(name):
    """The arguments of the last such instruction of the Dockerfile."""
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.M)[-1]


def test_the_services_are_those_of_the_product():
    assert set(SERVICES) == set(PORTS)


def test_every_service_that_is_waited_for_exists_and_tells_its_health():
    for service in SERVICES.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        for name, wait in service.get("depends_on", {}).items():
            assert wait == {"condition": "service_healthy"}
            assert name in SERVICES


def test_they_start_in_order():
    assert list(SERVICES["proxy"]["depends_on"]) == ["elasticsearch"]
    assert list(SERVICES["kibana"]["depends_on"]) == ["proxy"]


def test_ports_are_open_to_this_machine_alone():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_service_has_a_limit_of_memory_and_a_named_volume():
    for service in SERVICES.values():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(
            COMPOSE["volumes"]
        )
    used = {v.partition(":")[0] for service in SERVICES.values() for v in service["volumes"]}
    assert used == set(COMPOSE["volumes"])


def test_elasticsearch_and_kibana_are_of_one_version():
    assert SERVICES["elasticsearch"]["image"] == "elasticsearch:9.2.4"
    assert SERVICES["kibana"]["image"] == "kibana:9.2.4"


def test_urls_name_services_and_the_ports_they_listen_on():
    text = (ROOT / "docker-compose.yml").read_text()
    named = re.findall(r"http://([a-z]+):(\d+)", text.replace("localhost", "LOCALHOST"))
    assert {(name, int(port)) for name, port in named} == set(PORTS.items()) - {("kibana", 5601)}
    assert SERVICES["kibana"]["environment"]["ELASTICSEARCH_HOSTS"] == "http://proxy:9201"


@pytest.mark.parametrize(
    "arguments",
    [SERVICES["proxy"]["command"], json.loads(instruction("CMD"))],
    ids=["docker-compose.yml", "Dockerfile"],
)
def test_the_proxy_accepts_its_arguments(arguments, capsys):
    """`check` takes the arguments of `serve`."""
    assert arguments[0] == "serve"
    assert main(["check", "--config-only", *arguments[1:]]) == 0
    assert "listen: 0.0.0.0:9201  # flag\n" in capsys.readouterr().out


def test_compose_gives_the_proxy_its_upstream(capsys):
    main(["check", "--config-only", *SERVICES["proxy"]["command"][1:]])
    told = capsys.readouterr().out
    assert f"upstream.url: http://elasticsearch:{PORTS['elasticsearch']}  # flag\n" in told
    assert "store.kind: elasticsearch  # flag\n" in told


def test_state_is_kept_in_the_volume(monkeypatch):
    home = re.search(r"XDG_STATE_HOME=(\S+)", DOCKERFILE)
    assert home is not None
    monkeypatch.setenv("XDG_STATE_HOME", home[1])
    folder = str(state_folder())
    assert instruction("VOLUME") == folder
    assert f"proxy-state:{folder}" in SERVICES["proxy"]["volumes"]
    assert f" {folder}" in DOCKERFILE.partition("install -d")[2]


def test_the_image_runs_the_proxy_as_an_ordinary_user():
    assert json.loads(instruction("ENTRYPOINT")) == ["python", "-m", "proxy"]
    assert "useradd --system --uid 10001" in DOCKERFILE
    assert instruction("USER") == "10001"  # a number: Kubernetes' runAsNonRoot knows no names


def test_the_image_installs_nothing_whose_hash_is_not_locked():
    fetching = re.findall(r"pip install ([^&\n]*)", DOCKERFILE)
    assert len(fetching) == 2
    for arguments in map(str.split, fetching):
        assert "--no-deps" in arguments
        assert {"--require-hashes", "--no-index"} & set(arguments)


def test_the_proxy_of_the_stack_can_write_to_its_volume_alone():
    proxy = SERVICES["proxy"]
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert "tmpfs" not in proxy


def test_what_the_image_copies_exists_and_is_not_ignored():
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] not in ("", "#")
    ]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M)
        for source in line.split()[:-1]
    ]
    assert {"requirements.lock", "proxy", "setup.cfg"} <= set(copied)
    assert rules[0] == "*"
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert sorted(copied) == sorted(rule[1:] for rule in rules if rule.startswith("!"))


async def is_healthy(check, port):
    """Run the program of a health check against another port of this machine."""
    arguments = [re.sub(r"(127\.0\.0\.1(?:[:/]|', ))\d+", rf"\g<1>{port}", part) for part in check]
    if arguments[0] == "python":
        arguments[0] = sys.executable
    child = await asyncio.create_subprocess_exec(*arguments, stderr=subprocess.DEVNULL)
    return await child.wait() == 0


@pytest.mark.parametrize("name", ["proxy", "embedding", "rerank"])
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
async def test_health_is_what_the_server_says(name, status, healthy, aiohttp_server):
    async def answer(request):
        assert request.path in ("/readyz", "/health")
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = await aiohttp_server(app)
    check = SERVICES[name]["healthcheck"]["test"][1:]
    assert await is_healthy(check, server.port) is healthy


@pytest.mark.parametrize("name", ["proxy", "embedding", "rerank"])
async def test_nobody_listening_is_not_healthy(name, unused_tcp_port):
    assert not await is_healthy(SERVICES[name]["healthcheck"]["test"][1:], unused_tcp_port)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False)])
async def test_the_image_is_healthy_while_the_proxy_answers(
    aiohttp_server, unused_tcp_port, status, healthy
):
    async def livez(request):
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/livez", livez)
    check = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    server = await aiohttp_server(app)
    assert await is_healthy(check, server.port) is healthy
    assert not await is_healthy(check, unused_tcp_port)


def test_health_is_asked_where_the_admin_listener_is():
    image = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    for check in (image, SERVICES["proxy"]["healthcheck"]["test"]):
        host, _, port = DEFAULT_ADMIN.partition(":")
        assert f"'{host}', {port}" in " ".join(check)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not here")
def test_docker_compose_accepts_the_file():
    command = ["docker-compose", "--file", "docker-compose.yml", "config", "--quiet"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
