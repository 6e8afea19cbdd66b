"""`setup` and a proxy that serves with what it made, in front of a stock Elasticsearch: https."""

from __future__ import annotations

import base64
import json
import re
import stat
from urllib.parse import urlsplit

import orjson
import pytest
from elasticsearch import Elasticsearch

from tests.support.rawhttp import send
from tests.support.security import ELASTIC, client_of

PASSWORD = {"ELASTIC_PASSWORD": ELASTIC}
JSON = ("Content-Type", "application/json")
VERSION = "cluster:monitor/main"
RIGHTS = ["read", "write", "create_index"]


@pytest.fixture
def admin(stock_elasticsearch):
    with client_of(stock_elasticsearch, "elastic", ELASTIC) as client:
        yield client


@pytest.fixture
def setup(run, stock_elasticsearch, own_index):
    """Runs `setup` against the stock Elasticsearch; its result."""

    def setup(*arguments, env=PASSWORD):
        upstream = [] if "--upstream" in arguments else ["--upstream", stock_elasticsearch.url]
        authority = ["--ca", str(stock_elasticsearch.authority)]
        return run("setup", *upstream, *authority, *arguments, env={**own_index, **env})

    return setup


def environ_of(text):
    """The variables in what `setup` printed or wrote."""
    return dict(re.findall(r"^(?:export )?(\w+)=(.*)$", text, re.M))


def elastic(path, proxy, method="GET", body=None):
    """Send a request through the proxy as `elastic`."""
    login = base64.b64encode(f"elastic:{ELASTIC}".encode()).decode()
    headers = [("Authorization", f"Basic {login}"), JSON]
    answer = send(proxy.url, method, path, headers, None if body is None else orjson.dumps(body))
    return answer.status, json.loads(answer.content)


def test_the_key_suffices_for_all_that_the_proxy_does(setup, serve, stub, admin, own_index):
    """An endpoint's whole life, a renewed encryption key, and forwarding, over TLS."""
    made = setup("--username", "elastic")
    assert (made.returncode, made.stderr) == (0, "")
    environ = environ_of(made.stdout)
    proxy = serve(env=environ)
    settings = {"url": f"{stub.url}/embed", "api_key": "hf_x"}
    body = {"service": "hugging_face", "service_settings": settings}
    path = "/_inference/text_embedding/mine"
    assert elastic(path, proxy, "PUT", body)[0] == 200
    assert elastic("/_inference/mine", proxy, "POST", {"input": ["a", "b"]})[0] == 200
    update = {"service_settings": {"api_key": "hf_y"}}
    assert elastic(f"{path}/_update", proxy, "PUT", update)[0] == 200
    assert elastic("/_inference/_all", proxy)[1]["endpoints"][0]["inference_id"] == "mine"
    assert elastic("/_cluster/health", proxy)[0] == 200
    again = serve(env=environ)  # it finds the index, and checks its key against the record
    assert elastic(path, again)[0] == 200
    assert not re.search("WARNING|ERROR", again.output)
    assert elastic(path, proxy, "DELETE")[0] == 200
    index = own_index["HFPROXY_STORE_INDEX"]
    assert admin.indices.get(index=index)[index]["settings"]["index"]["hidden"] == "true"


def test_a_key_for_semantic_text_is_good_for_that_and_for_no_document(
    setup, admin, own_index, stock_elasticsearch, serve
):
    environ = environ_of(setup("--semantic").stdout)
    assert environ["HFPROXY_SEMANTIC_ENABLED"] == "true"
    proxy = serve(env=environ)
    proxy.wait_for("inference endpoints")
    assert not re.search("WARN|ERROR", proxy.output)
    with Elasticsearch(
        stock_elasticsearch.url,
        ca_certs=str(stock_elasticsearch.authority),
        api_key=environ["ELASTIC_API_KEY"],
    ) as client:
        asked = [{"names": ["another"], "privileges": ["read", "write", "delete_index", "manage"]}]
        cluster = ["manage", "manage_index_templates", "manage_pipeline", "manage_security"]
        told = client.security.has_privileges(cluster=cluster, index=asked)
    assert not any(told["cluster"].values())
    assert not any(right for rights in told["index"].values() for right in rights.values())


def test_rekey_needs_no_more(setup, serve, stub, run):
    environ = environ_of(setup().stdout)
    proxy = serve(env=environ)
    settings = {"url": f"{stub.url}/embed", "api_key": "hf_x"}
    body = {"service": "hugging_face", "service_settings": settings}
    assert elastic("/_inference/text_embedding/mine", proxy, "PUT", body)[0] == 200
    new = {"HFPROXY_STORE_PREVIOUS_KEY": "6b" * 32, "HFPROXY_STORE_ENCRYPTION_KEY": "7a" * 32}
    done = run("rekey", env={**environ, **new})
    assert (done.stdout, done.returncode) == ("1 endpoints are sealed with the current key\n", 0)


def test_the_key_is_good_for_nothing_else(setup, admin, own_index, stock_elasticsearch):
    key = environ_of(setup().stdout)["ELASTIC_API_KEY"]
    index = own_index["HFPROXY_STORE_INDEX"]
    with Elasticsearch(
        stock_elasticsearch.url, ca_certs=str(stock_elasticsearch.authority), api_key=key
    ) as client:
        name = client.security.authenticate()["api_key"]["id"]
        # A distribution from Maven has no `GET /`, which the action is for.
        assert client.security.has_privileges(cluster=[VERSION])["has_all_requested"]
        cluster = ["monitor", "manage_inference", "manage_own_api_key", "manage_security"]
        asked = [
            {"names": ["another"], "privileges": ["read", "write", "create_index"]},
            {"names": [index], "privileges": ["manage", "delete_index", "view_index_metadata"]},
        ]
        told = client.security.has_privileges(cluster=cluster, index=asked)
    [described] = admin.security.get_api_key(id=name)["api_keys"]
    [role] = described["role_descriptors"].values()
    assert [role["cluster"], role["applications"], role["run_as"]] == [[VERSION], [], []]
    assert [(one["names"], one["privileges"]) for one in role["indices"]] == [([index], RIGHTS)]
    assert not any(told["cluster"].values())
    assert not any(right for rights in told["index"].values() for right in rights.values())


@pytest.mark.parametrize("left_out", RIGHTS)
def test_with_one_privilege_less_the_proxy_does_not_work(
    left_out, serve, stub, admin, own_index, stock_elasticsearch
):
    index = own_index["HFPROXY_STORE_INDEX"]
    rights = {"names": [index], "privileges": [name for name in RIGHTS if name != left_out]}
    made = admin.security.create_api_key(name="less", role_descriptors={"r": {"index": [rights]}})
    environ = {
        **own_index,
        "ELASTICSEARCH_URL": stock_elasticsearch.url,
        "HFPROXY_UPSTREAM_CA_FILE": str(stock_elasticsearch.authority),
        "ELASTIC_API_KEY": made["encoded"],
    }
    proxy = serve(env=environ)
    settings = {"url": f"{stub.url}/embed", "api_key": "hf_x"}
    body = {"service": "hugging_face", "service_settings": settings}
    status, answer = elastic("/_inference/text_embedding/mine", proxy, "PUT", body)
    assert status == 503
    assert "lack rights" in answer["error"]["reason"]


def test_a_file_is_written_for_its_owner_alone_and_never_replaced(setup, tmp_path):
    file = tmp_path / "proxy.env"
    made = setup("--write", str(file))
    assert made.returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = environ_of(file.read_text())["ELASTIC_API_KEY"]
    assert key not in made.stdout + made.stderr
    assert f"set -a; . {file}; set +a; python -m proxy serve" in made.stdout
    written = file.read_text()
    again = setup("--write", str(file))
    assert again.returncode == 1
    assert again.stderr == f"error: cannot write [{file}]: File exists\n"
    assert file.read_text() == written


def failure(done):
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch("error: .+\n", done.stderr)
    assert ELASTIC not in done.stderr
    return done.stderr


def test_a_wrong_password_is_named_and_leaves_no_file(setup, tmp_path):
    file = tmp_path / "proxy.env"
    done = setup("--write", str(file), env={"ELASTIC_PASSWORD": "wrong"})
    assert "does not know the user [elastic] with this password" in failure(done)
    assert not file.exists()


def test_no_password_at_all_is_asked_for(setup):
    assert "set ELASTIC_PASSWORD, or run this on a terminal" in failure(setup(env={}))


def test_an_https_upstream_without_its_authority_is_not_trusted(run, stock_elasticsearch):
    done = run("setup", "--upstream", stock_elasticsearch.url, env=PASSWORD)
    told = failure(done)
    assert "is not trusted (self-signed certificate in certificate chain)" in told
    assert "--ca" in told


def test_plain_http_to_an_https_upstream_is_named(setup, stock_elasticsearch):
    url = stock_elasticsearch.url.replace("https:", "http:")
    told = failure(setup("--upstream", url))
    assert told == f"error: Cannot reach [{url}]: it speaks TLS: use https:// in --upstream\n"


def test_https_to_a_plain_upstream_is_named(setup, secured_elasticsearch):
    url = secured_elasticsearch.url.replace("http:", "https:")
    assert f"[{url}]: it does not speak TLS: use http:// in --upstream" in failure(
        setup("--upstream", url)
    )


def test_nobody_there_is_named(setup, unused_tcp_port):
    url = f"https://127.0.0.1:{unused_tcp_port}"
    assert f"Cannot reach [{url}]: " in failure(setup("--upstream", url))


def test_security_that_is_off_is_named(run, elasticsearch):
    done = run("setup", "--upstream", elasticsearch.url, env=PASSWORD)
    assert "has its security switched off: the proxy needs no API key there" in failure(done)


def test_a_user_without_the_rights_is_named(setup):
    done = setup("--username", "nobody", env={"ELASTIC_PASSWORD": "nobody-password"})
    assert "lacks [read, write, create_index] on the index [" in failure(done)


def test_a_user_who_may_make_no_keys_is_named(setup, admin, own_index):
    rights = {"names": [own_index["HFPROXY_STORE_INDEX"]], "privileges": RIGHTS}
    admin.security.put_role(name="indexer", indices=[rights])
    admin.security.put_user(username="indexer", password="indexer-password", roles=["indexer"])
    done = setup("--username", "indexer", env={"ELASTIC_PASSWORD": "indexer-password"})
    told = failure(done)
    assert "may not make API keys: it needs the cluster privilege [manage_own_api_key]" in told
    admin.security.put_role(name="indexer", cluster=["manage_own_api_key"], indices=[rights])
    done = setup("--username", "indexer", env={"ELASTIC_PASSWORD": "indexer-password"})
    assert done.returncode == 0


def test_credentials_for_serving_do_not_stand_in_the_way(setup):
    done = setup(env={**PASSWORD, "ELASTIC_API_KEY": "an-old-key"})
    assert done.returncode == 0
    assert environ_of(done.stdout)["ELASTIC_API_KEY"] != "an-old-key"


def test_the_stock_elasticsearch_speaks_tls(stock_elasticsearch):
    assert urlsplit(stock_elasticsearch.url).scheme == "https"
