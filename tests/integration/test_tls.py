"""TLS on both sides of a real proxy: certificates shown, renewed, asked for and refused."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.support.certificates import certificate
from tests.support.waiting import eventually


def shown(port: int) -> int:
    """The serial number of the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        wrapped.sendall(b"GET /_inference/_all HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n")
        assert wrapped.recv(100).startswith(b"HTTP/1.1 ")
        der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def shown_by_all(port: int, serial: int) -> bool:
    """Whether new connections get this certificate; each reaches a random worker."""
    return all(shown(port) == serial for _ in range(8))


@pytest.mark.parametrize("flags", [(), ("--no-lane",), ("--workers", "2")])
def test_a_certificate_is_renewed_by_sighup(serve: Any, tmp_path: Any, flags: Any) -> None:
    pem = certificate(tmp_path / "cert.pem", serial=1)
    proxy = serve(
        *flags,
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        upstream="http://127.0.0.1:9",
        env={"HFPROXY_TLS_CERTIFICATE": str(pem)},
    )
    assert "listening on https://" in proxy.output
    assert shown(proxy.port) == 1
    certificate(pem, serial=2)
    os.kill(proxy.pid, signal.SIGHUP)
    eventually(lambda: shown_by_all(proxy.port, 2))
    pem.write_text("nothing of use")
    os.kill(proxy.pid, signal.SIGHUP)
    proxy.wait_for("the old certificate stays in use")
    assert shown(proxy.port) == 2


def test_sighup_without_tls_ends_nothing(serve: Any, tmp_path: Any) -> None:
    proxy = serve("--store", f"sqlite:{tmp_path}/endpoints.db")
    os.kill(proxy.pid, signal.SIGHUP)
    proxy.wait_for("nothing to read again")
    assert proxy.stop() == 0


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(serve: Any, tmp_path: Any) -> None:
    pem = tmp_path / "cert.pem"
    pem.write_text("nothing of use")
    proxy = serve(
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        env={"HFPROXY_TLS_CERTIFICATE": str(pem)},
        wait=False,
    )
    assert proxy.wait() == 1
    assert f"[tls.certificate] cannot use [{pem}]" in proxy.output
    assert "Traceback" not in proxy.output


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def strict_upstream(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An https upstream that requires a client certificate: its port and its own certificate."""
    pem = certificate(tmp_path / "upstream.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate(tmp_path / "proxy.pem"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], pem
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_upstream_may_ask_for_a_certificate(
    serve: Any, strict_upstream: tuple[int, Path], tmp_path: Path, flags: Any
) -> None:
    port, pem = strict_upstream
    proxy = serve(
        *flags,
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        upstream=f"https://127.0.0.1:{port}",
        env={
            "HFPROXY_UPSTREAM_CA_FILE": str(pem),
            "HFPROXY_UPSTREAM_CERTIFICATE": str(tmp_path / "proxy.pem"),
        },
    )
    with urllib.request.urlopen(f"{proxy.url}/_cluster/health", timeout=10) as answer:
        assert answer.read() == b"{}"


def told(url: str) -> str:
    """The body of a failed request."""
    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(url, timeout=10)
    with failed.value as answer:
        assert answer.status in (502, 503)
        return answer.read().decode()


@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
def test_https_for_an_elasticsearch_that_speaks_http_is_told(
    serve: Any, secured_elasticsearch: Any, flags: Any
) -> None:
    upstream = secured_elasticsearch.url.replace("http:", "https:")
    proxy = serve(*flags, "--store", "elasticsearch", upstream=upstream)
    reason = "it does not speak TLS: use http:// in [upstream.url]"
    proxy.wait_for(f"upstream [{upstream}] cannot be reached: {reason}")
    for target in ("/_cluster/health", "/_inference/e1"):
        body = told(proxy.url + target)
        assert reason in body
        assert str(secured_elasticsearch.port) not in body


@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_http_for_an_upstream_that_speaks_tls_is_told(
    serve: Any, strict_upstream: tuple[int, Path], tmp_path: Path, flags: Any
) -> None:
    port, _ = strict_upstream
    proxy = serve(
        *flags,
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        upstream=f"http://127.0.0.1:{port}",
    )
    for target in ("/_cluster/health", "/_inference/e1"):
        body = told(proxy.url + target)
        assert "speaks TLS: use https://" in body
        assert str(port) not in body
