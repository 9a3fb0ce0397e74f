from pathlib import Path

import pytest

from dptstream.errors import SourceError

from .feeding import ask, serving, visiting


def send(server: object, body: bytes = b"picture", name: str = "clip.MP4", **headers: str) -> tuple[int, str]:
    answer = ask(server, f"/upload?name={name}", method="POST", body=body, **headers)  # type: ignore[arg-type]
    return answer.status, answer.body.decode()  # type: ignore[attr-defined]


def test_without_an_engine_an_upload_is_refused_with_what_to_do() -> None:
    with serving() as server:
        status, text = send(server)
    assert status == 409
    assert "dptstream view VIDEO --web" in text


def test_a_file_goes_to_the_engine_and_its_answer_to_the_page() -> None:
    seen: list[tuple[str, bytes]] = []

    def run(path: Path) -> str:
        seen.append((path.name, path.read_bytes()))
        return "clip.mp4 is shown now"

    with serving(upload=run, max_upload_bytes=1000) as server:
        with visiting(server) as visitor:
            assert visitor.hear("hello")["upload"] == 1000
        assert send(server, b"film" * 10) == (200, "clip.mp4 is shown now")
    assert seen == [("1-clip.MP4", b"film" * 10)]


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc%2fpasswd", "", "%2fa.b%2fc", "x.%00mp4", "x" * 300, "C:%5cCON", "...", "%20"]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    seen: list[Path] = []
    with serving(upload=lambda path: seen.append(path) or "shown") as server:
        assert send(server, name=name)[0] == 200
        assert seen[0].parent.name.startswith("dptstream-")
        assert seen[0].name.startswith("1-")
        assert len(seen[0].name) < 70
        assert [path.name for path in seen[0].parent.iterdir()] == [seen[0].name]


def test_a_file_that_is_too_large_is_refused_and_does_not_stay() -> None:
    seen: list[Path] = []
    with serving(upload=lambda path: seen.append(path) or "shown", max_upload_bytes=100) as server:
        status, text = send(server, b"x" * 101)
        assert (status, seen) == (413, [])
        assert "0 MB" in text or "bytes" in text
        assert send(server, b"x" * 100)[0] == 200
        assert [path.name for path in seen[0].parent.iterdir()] == ["2-clip.MP4"]


def test_a_length_that_lies_does_not_get_more_in() -> None:
    seen: list[Path] = []
    with serving(upload=lambda path: seen.append(path) or "shown", max_upload_bytes=100) as server:
        answer = ask(server, "/upload?name=a.mp4", method="POST", body=iter([b"x" * 60] * 3))  # type: ignore[arg-type]
        assert (answer.status, seen) == (413, [])


def test_an_empty_file_is_refused() -> None:
    with serving(upload=lambda _: "shown") as server:
        assert send(server, b"") == (422, "the file is empty")


def test_what_the_engine_cannot_open_is_said_in_its_words() -> None:
    def run(path: Path) -> str:
        raise SourceError(f"{path}: this is no video")

    with serving(upload=run) as server:
        assert send(server) == (422, "clip.MP4: this is no video")  # and not where it lies here


def test_only_the_file_that_is_shown_is_kept_and_none_after_the_end() -> None:
    seen: list[Path] = []
    with serving(upload=lambda path: seen.append(path) or "shown") as server:
        send(server)
        send(server)
        assert [path.exists() for path in seen] == [False, True]
    assert not seen[1].parent.exists()
