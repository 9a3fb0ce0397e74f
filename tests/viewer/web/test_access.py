import re
from http.client import HTTPResponse

import pytest
from websockets.exceptions import InvalidStatus

from dptstream.errors import WireError
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.web import WebOptions, WebServer, new_token
from dptstream.viewer.web.pages import page_files

from .feeding import ScriptedFeed, ask, serving, visiting

TOKEN = "a-token-of-the-tests"


def cookie_of(answer: HTTPResponse) -> str:
    return (answer.getheader("set-cookie") or "").partition(";")[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.168.1.7", "::", "example.org"])
def test_every_host_but_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(ValueError, match="give the page a token"):
        WebOptions(host=host)
    assert WebOptions(host=host, token=new_token()).token


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_none(host: str) -> None:
    assert WebOptions(host=host).token is None


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "tökén-with-umlauts", "line\nbreak-in-it"])
def test_a_token_that_could_be_guessed_or_cannot_travel_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="at least 12"):
        WebOptions(token=token)


def test_a_port_that_is_taken_is_said() -> None:
    with serving() as server, pytest.raises(WireError, match=rf"127\.0\.0\.1:{server.port}.*another port"):
        WebServer([ScriptedFeed()], ViewSettings(), WebOptions(port=server.port)).__enter__()


def test_names_of_this_machine_are_let_in_and_others_are_not() -> None:
    with serving() as server:
        for name in ("127.0.0.1", "localhost", "LOCALHOST", f"localhost:{server.port}", "[::1]:80"):
            assert ask(server, Host=name).status == 200, name
        for name in (
            "attacker.example",
            "127.0.0.1.attacker.example",
            "192.168.1.7",
            "",
            "[::1",
            "localhost@attacker.example",
        ):
            assert ask(server, Host=name).status == 403, name


def test_a_websocket_from_another_sites_page_is_refused() -> None:
    with serving() as server:
        with visiting(server, origin=f"http://127.0.0.1:{server.port}") as visitor:
            assert visitor.hear("hello")["settings"]["mode"] == "points"
        for origin in ("http://attacker.example", "null", f"http://127.0.0.1:{server.port + 1}", "file://"):
            with pytest.raises(InvalidStatus, match="403"), visiting(server, origin=origin):
                pass


def test_an_upload_from_another_sites_page_is_refused() -> None:
    taken = []
    with serving(upload=lambda path: taken.append(path) or "shown") as server:
        answer = ask(server, "/upload", method="POST", body=b"x", Origin="http://attacker.example")
        assert (answer.status, taken) == (403, [])


def test_without_the_token_nothing_is_given_away() -> None:
    with serving(token=TOKEN) as server:
        for path in ("/", "/js/main.js", "/?token=wrong", "/?token=", "/?token=%ff%fe", f"/?token={TOKEN}x"):
            answer = ask(server, path)
            assert answer.status == 401
            assert answer.getheader("set-cookie") is None
            assert b"three" not in answer.body  # type: ignore[attr-defined]
        assert ask(server, "/upload", method="POST", body=b"x").status == 401
        with pytest.raises(InvalidStatus, match="401"), visiting(server):
            pass


def test_the_token_moves_from_the_address_into_a_cookie_that_scripts_cannot_read() -> None:
    with serving(token=TOKEN) as server:
        assert server.url.endswith(f"/?token={TOKEN}")
        answer = ask(server, f"/?token={TOKEN}&x=1")
        assert (answer.status, answer.getheader("location")) == (303, "/?x=1")
        assert "httponly" in (answer.getheader("set-cookie") or "").lower()
        cookie = cookie_of(answer)
        assert ask(server, Cookie=cookie).status == 200
        with visiting(server, additional_headers={"Cookie": cookie}) as visitor:
            assert visitor.hear("hello")
        assert ask(server, Cookie=cookie[:-1] + "x").status == 401


def test_programs_may_bring_the_token_in_a_header() -> None:
    with serving(token=TOKEN) as server:
        assert ask(server, Authorization=f"Bearer {TOKEN}").status == 200
        assert ask(server, Authorization="Bearer wrong").status == 401
        with visiting(server, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as visitor:
            assert visitor.hear("hello")


def test_with_a_token_the_machine_may_have_any_name() -> None:
    with serving(token=TOKEN) as server:
        for name in ("gpu-box.example:8577", "192.168.1.7"):
            assert ask(server, Host=name, Authorization=f"Bearer {TOKEN}").status == 200
            assert ask(server, Host=name).status == 401


def test_the_token_never_leads_to_another_site() -> None:
    with serving(token=TOKEN) as server:
        assert ask(server, f"//attacker.example/?token={TOKEN}").getheader("location") == "/"


def test_a_cookie_does_not_help_another_sites_websocket() -> None:
    with serving(token=TOKEN) as server:
        cookie = cookie_of(ask(server, f"/?token={TOKEN}"))
        headers = {"Cookie": cookie}
        with (
            pytest.raises(InvalidStatus, match="403"),
            visiting(server, additional_headers=headers, origin="http://attacker.example"),
        ):
            pass


def test_the_page_may_load_nothing_from_elsewhere() -> None:
    with serving() as server:
        policy = ask(server).getheader("content-security-policy") or ""
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    for path, data in page_files().items():
        if not path.startswith("/three/"):
            addresses = set(re.findall(rb"https?://[^\s\"'`]+", data)) - {b"http://www.w3.org/2000/svg"}
            assert not addresses, path


def test_only_the_pages_files_can_be_read() -> None:
    with serving() as server:
        for path in (
            "/../server.py",
            "/js/../../server.py",
            "/%2e%2e/server.py",
            "/js/",
            "/etc/passwd",
            "/three/nothing.js",
        ):
            assert ask(server, path).status == 404, path


def test_files_come_packed_and_are_not_sent_twice() -> None:
    with serving() as server:
        whole = ask(server, "/three/three.core.js")
        packed = ask(server, "/three/three.core.js", Accept_Encoding="gzip")
        assert len(packed.body) < len(whole.body) / 3  # type: ignore[attr-defined]
        assert ask(server, "/three/three.core.js", If_None_Match=whole.getheader("etag") or "").status == 304


def test_three_js_comes_with_its_licence() -> None:
    assert b"The MIT License" in page_files()["/three/LICENSE.txt"]
