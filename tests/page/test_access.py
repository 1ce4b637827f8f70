"""Nothing of a run is shown to whoever has no token."""

import asyncio
import re
import socket
import stat

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from helpers.pages import TOKEN, fetch, served
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from stream_infomax.page.access import FILE, Access, token_in
from stream_infomax.page.server import MOST_SESSIONS
from stream_infomax.page.watched import Watched

SECRET = "a-run-nobody-may-see"
PATHS = (
    *("", "ws", "metadata", "autoload.js", "favicon.ico", "alive", "control", "static/js/bokeh.min.js"),
    *("page/page.css", "page/../server.py", "download/configuration.toml", "sound/learner/1.wav", "nothing"),
)


@pytest.fixture(scope="module")
def page():
    async def download(path):
        return ("name.toml", "application/toml", SECRET.encode()) if path == "download/configuration.toml" else None

    with served(Watched(SECRET, ["source"]), download=download) as found:
        yield found


@pytest.fixture(scope="module")
def cookies(page):
    status, headers, _ = fetch(page.url)
    assert status == 302
    given = headers.get_all("Set-Cookie")
    return "; ".join(cookie.partition(";")[0] for cookie in given)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_without_the_token_there_is_a_sentence_only(page, path, method):
    status, headers, body = fetch(f"{page.address}{path}", method=method, data=b"" if method == "POST" else None)
    assert status == 403
    assert SECRET.encode() not in body
    assert len(body) < 200
    assert headers["Cache-Control"] == "no-store"


STRANGE = {
    "post": b"POST /AAAA HTTP/1.1\r\nContent-Length: 0\r\n",
    "put": b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n",
    "unknown": b"NONSENSE / HTTP/1.1\r\n",
    "no text": b"GET /?token=%ff HTTP/1.1\r\n",
    "put token": b"PUT /?token=x HTTP/1.1\r\nContent-Length: 0\r\n",
    "origin": b"GET / HTTP/1.1\r\nOrigin: http://[\r\n",
    "zero": b"GET /page/%00 HTTP/1.1\r\n",
    "body": b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1\r\n",
}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("what", STRANGE)
def test_strange_requests_get_a_sentence_and_leave_nothing_in_the_log(page, cookies, caplog, what, known):
    with socket.create_connection(("127.0.0.1", page.port)) as line:
        cookie = f"Cookie: {cookies}\r\n".encode() if known else b""
        line.sendall(STRANGE[what] + b"Host: x\r\nConnection: close\r\n" + cookie + b"\r\n")
        line.sendall(b"x" if what == "body" else b"")
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in (400, 403, 404, 405)
    if not known:
        assert b"text/plain" in head
        assert body.count(b"\n") == 1
    assert not [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("cookie", ["", "x", TOKEN[:-1], f"{TOKEN}x", "ü"])
def test_another_token_is_none(page, cookie):
    name = f"stream-infomax-{page.port}"
    status, _, body = fetch(page.address, Cookie=f"{name}={cookie}".encode().decode("latin-1"))
    assert (status, SECRET.encode() in body) == (403, False)
    assert fetch(f"{page.address}?token=wrong")[0] == 403


def test_the_token_leaves_the_address_for_a_cookie_that_no_script_reads(page):
    status, headers, _ = fetch(page.url)
    assert (status, headers["Location"]) == (302, "/")
    (cookie,) = (one for one in headers.get_all("Set-Cookie") if one.startswith("stream-infomax-"))
    assert TOKEN not in cookie, "whoever takes the port later is sent the cookie"
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_with_the_cookie_there_is_the_page_which_loads_nothing_from_elsewhere(page, cookies):
    status, headers, body = fetch(page.address, Cookie=cookies)
    html = body.decode()
    assert status == 200
    assert SECRET in html
    assert TOKEN not in html, "a page that somebody keeps or sends on is no key"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["", "ws", "control", "download/configuration.toml"])
def test_another_page_may_ask_for_nothing_even_with_the_cookie(page, cookies, path):
    status, _, body = fetch(f"{page.address}{path}", Cookie=cookies, Origin="http://evil.example")
    assert (status, SECRET.encode() in body) == (403, False)


def test_a_command_needs_the_word_that_only_our_own_page_knows(page, cookies):
    body = b'{"action": "hold"}'
    assert fetch(f"{page.address}control", data=body, Cookie=cookies)[0] == 403
    assert page.asked == []
    (xsrf,) = re.findall(r"_xsrf=([^;]+)", cookies)
    status, _, answer = fetch(f"{page.address}control", data=body, Cookie=cookies, X_XSRFToken=xsrf)
    assert (status, page.asked) == (200, [("hold", "", "")])
    assert b"frame 7" in answer


@pytest.mark.parametrize("body", [b"", b"[]", b'{"action": 7}', b'{"action": "hold", "more": 1}', b"\xff", b"[" * 9000])
def test_what_is_no_command_is_refused_with_the_reason(page, cookies, body):
    (xsrf,) = re.findall(r"_xsrf=([^;]+)", cookies)
    status, _, answer = fetch(f"{page.address}control", data=body, Cookie=cookies, X_XSRFToken=xsrf)
    assert status == 400
    assert answer.startswith(b"Not understood")


def test_what_there_is_to_keep_comes_as_a_file_and_nothing_else_does(page, cookies):
    status, headers, body = fetch(f"{page.address}download/configuration.toml", Cookie=cookies)
    assert (status, body.decode()) == (200, SECRET)
    assert "attachment" in headers["Content-Disposition"]
    for path in ("download/other", "download/..%2f..%2fetc%2fpasswd", "sound/a/0.wav", "page/..%2fserver.py"):
        assert fetch(f"{page.address}{path}", Cookie=cookies)[0] in (403, 404)


def test_no_more_look_than_there_is_room_for():
    with served(Watched(SECRET, ["source"]), sections=()) as page:
        _, headers, _ = fetch(page.url)
        cookie = "; ".join(one.partition(";")[0] for one in headers.get_all("Set-Cookie"))
        answers = [fetch(page.address, Cookie=cookie) for _ in range(MOST_SESSIONS + 2)]
    assert [status for status, _, _ in answers] == [200] * MOST_SESSIONS + [503] * 2
    assert b"load again in a minute" in answers[-1][2]


def test_a_cookie_is_of_one_port_and_the_same_after_a_restart():
    one, again, other = Access(TOKEN), Access(TOKEN), Access(TOKEN)
    for access, port in ((one, 5006), (again, 5006), (other, 5007)):
        access.named(port)
    assert (one.cookie, one.value) == (again.cookie, again.value)
    assert one.value != other.value


def test_a_session_that_a_browser_makes_up_needs_room_like_all_others():
    async def look(page, cookie):
        made = generate_jwt_token(generate_session_id(signed=False), signed=False)
        request = HTTPRequest(f"{page.address}ws".replace("http", "ws", 1), headers={"Cookie": cookie})
        return await websocket_connect(request, subprotocols=["bokeh", made])

    async def crowd(page, cookie):
        lines = []
        try:
            for _ in range(MOST_SESSIONS):
                lines.append(await look(page, cookie))
                await lines[-1].read_message()  # its session is there
            with pytest.raises(HTTPClientError, match="503"):
                await look(page, cookie)
        finally:
            for line in lines:
                line.close()
                while await line.read_message() is not None:  # until the other end has closed it, too
                    pass

    with served(Watched(SECRET, ["source"]), sections=()) as page:
        _, headers, _ = fetch(page.url)
        cookie = "; ".join(one.partition(";")[0] for one in headers.get_all("Set-Cookie"))
        asyncio.run(crowd(page, cookie))


def test_a_token_is_kept_for_its_owner_alone_and_is_the_same_after_a_restart(tmp_path):
    token = token_in(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert token_in(tmp_path) == token
    assert token_in(None) != token_in(None)


@pytest.mark.parametrize("harm", ["open", "short", "link"])
def test_a_token_that_others_may_know_is_replaced(tmp_path, harm):
    token = token_in(tmp_path)
    path = tmp_path / FILE
    if harm == "open":
        path.chmod(0o644)
    elif harm == "short":
        path.write_text("abc\n")
    else:
        path.rename(tmp_path / "other")
        path.symlink_to(tmp_path / "other")
        with pytest.raises(OSError, match="symbolic link"):
            token_in(tmp_path)
        return
    assert token_in(tmp_path) != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
