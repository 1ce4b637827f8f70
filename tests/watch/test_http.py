"""Pages over HTTP: whoever asks, however slowly or often, holds nobody up."""

import gzip
import http.client
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from stream_infomax.watch import http as pages
from stream_infomax.watch.http import Answer, Server

LARGE = b"x" * (32 << 20)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("127.0.0.1", 0) as server:
        server.pages = {"/a": lambda: Answer(200, "text/plain", b"here"), "/large": lambda: Answer(200, "a/b", LARGE)}
        yield server


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def connected(server: Server) -> socket.socket:
    host, port = server.server_address[:2]
    return socket.create_connection((str(host), port), timeout=20)


def test_a_page_and_what_is_none(server: Server) -> None:
    assert get(server, "/a?x=1") == (200, b"here")
    assert get(server, "/b") == (404, b"here are /a, /large\n")
    server.pages = {}
    assert get(server, "/a") == (503, b"the run is about to start\n")


def test_other_methods_and_what_is_no_request(server: Server) -> None:
    host, port = server.server_address[:2]
    for method, code in (("HEAD", 200), ("POST", 501), ("x" * 100, 501)):
        connection = http.client.HTTPConnection(str(host), port, timeout=20)
        connection.request(method, "/a")
        assert connection.getresponse().status == code
        connection.close()
    for words in (b"\r\n\r\n", b"\xff\x00" * 40_000 + b"\n", b"GET /a HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"):
        with connected(server) as client:
            try:
                client.sendall(words)
                client.shutdown(socket.SHUT_WR)
                assert b"200 OK" not in client.recv(1 << 16)
            except ConnectionError:  # it has read enough
                continue
    assert get(server, "/a") == (200, b"here")


def test_a_large_page_is_compressed_where_that_is_wished(server: Server) -> None:
    assert get(server, "/large") == (200, LARGE)
    code, body = get(server, "/large", **{"Accept-Encoding": "deflate, gzip"})
    assert code == 200
    assert len(body) < len(LARGE) / 100
    assert gzip.decompress(body) == LARGE


def test_who_reads_slowly_or_not_at_all_holds_nobody_up_and_is_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(server) as stuck, connected(server) as slow:
        stuck.sendall(b"GET /large HTTP/1.0\r\n\r\n")  # and does not read
        slow.sendall(b"GET /a HT")  # and never says the rest
        assert get(server, "/a") == (200, b"here")
        monkeypatch.setattr(pages, "LONGEST", 0.0)  # from now on both take too long
        assert slow.recv(100) == b""
        received = 0
        while part := stuck.recv(1 << 20):
            received += len(part)
        assert received < len(LARGE)


def test_who_asks_for_nothing_gives_way(server: Server) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(server)) for _ in range(pages.MOST)]
        for client in idle:
            client.sendall(b"GET ")
        assert get(server, "/a") == (200, b"here")
        assert idle[0].recv(100) == b"", "the oldest"
        for client in idle[1:]:
            client.sendall(b"/a HTTP/1.0\r\n\r\n")
            assert client.recv(1 << 16).startswith(b"HTTP/1.0 200 OK")


def test_there_are_few_answers_at_a_time(server: Server) -> None:
    asked, over = threading.Semaphore(0), threading.Event()

    def slow() -> Answer:
        asked.release()
        over.wait(20)
        return Answer(200, "text/plain", b"late")

    server.pages = {"/slow": slow}
    with ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(pages.MOST)]
        for client in held:
            client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        for _ in held:
            assert asked.acquire(timeout=20)
        with connected(server) as more:
            assert more.recv(100) == b""
        over.set()
        for client in held:
            assert client.recv(1 << 16).startswith(b"HTTP/1.0 200 OK")
    assert get(server, "/slow")[0] == 200


def test_an_error_of_ours_is_logged_and_a_client_that_goes_is_not(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.pages = {"/wrong": lambda: Answer(200, "text/plain", [][0]), "/large": server.pages["/large"]}
    with caplog.at_level(logging.DEBUG):
        with connected(server) as client:
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            assert client.recv(10)
        assert get(server, "/large")[0] == 200
        assert not caplog.records
        with pytest.raises(http.client.RemoteDisconnected):
            urllib.request.urlopen(f"{server.url}/wrong", timeout=20)
    assert "a page could not be made" in caplog.text


def test_an_address_that_is_taken_is_said_at_once(server: Server) -> None:
    host, port = server.server_address[:2]
    with pytest.raises(OSError, match="in use"):
        Server(str(host), port)


def test_it_ends_whatever_is_open() -> None:
    with Server("127.0.0.1", 0) as server:
        client = connected(server)
        client.sendall(b"GET ")
        assert get(server, "/a")[0] == 503
    assert client.recv(100) == b""
    client.close()
    with pytest.raises(OSError, match="refused"):
        connected(server)


def test_an_address_of_the_other_kind() -> None:
    try:
        served = Server("::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with served as server:
        assert server.url.startswith("http://[::1]:")
        assert get(server, "/a")[0] == 503
