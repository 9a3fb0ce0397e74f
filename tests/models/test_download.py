"""Fetching models from servers that break off, lie or are gone; no network beyond this machine."""

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dptstream.errors import CheckpointError, DownloadError, LicenseError
from dptstream.geometry import DepthKind
from dptstream.models.catalog import Entry, find
from dptstream.models.http_file import fetch_file
from dptstream.models.store import Store, check_file, published_hash
from tests.models.faulty_server import Served, Server, serving

CONTENT = bytes(range(256)) * 400  # 100 kB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/isl-org/MiDaS/releases/download/v3_1/net.pt"
HUB_PATH = "/someone/nets/resolve/main/net.pth"

WEB_ENTRY = Entry(
    "net", "midas_beit", None, DepthKind.RELATIVE_INVERSE, "net.pt", "MIT", "fast", url=f"https://github.com{PATH}"
)
HUB_ENTRY = Entry(
    "hub-net", "depth_anything", "v2", DepthKind.RELATIVE_INVERSE, "net.pth", "Apache-2.0", "fast", "someone/nets",
    sha256=SHA256,
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return Store(tmp_path / "own", tmp_path / "hub", hub_endpoint=server.url, github_endpoint=server.url)


def accept_all(_: Path) -> None: ...


def test_a_file_arrives_whole_and_progress_ends_at_its_length(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT)
    seen: list[tuple[int, int | None]] = []
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all, on_progress=lambda *step: seen.append(step))
    assert (tmp_path / "net.pt").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert {path.name for path in tmp_path.iterdir()} - {"net.pt.lock"} == {"net.pt"}


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, cut_after=[30_000, 20_000])
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT
    assert server.gets(PATH) == [None, "bytes=30000-", "bytes=50000-"]


def test_what_an_earlier_attempt_left_is_kept_and_used(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, cut_after=[30_000, 0, 0])
    with pytest.raises(DownloadError, match="30000 bytes are kept for the next attempt"):
        fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert not (tmp_path / "net.pt").exists()
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT
    assert server.gets(PATH)[-1] == "bytes=30000-"


def test_a_file_that_changed_in_between_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, cut_after=[30_000, 0, 0])
    with pytest.raises(DownloadError):
        fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    other = CONTENT[::-1]
    server.files[PATH] = Served(other)
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert (tmp_path / "net.pt").read_bytes() == other


def test_a_server_that_cannot_resume_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, cut_after=[30_000], ranges=False)
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_a_longer_announced_length_than_what_comes_is_an_error(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, announced=len(CONTENT) + 10, ranges=False)
    with pytest.raises(DownloadError, match="the connection broke off"):
        fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)
    assert not (tmp_path / "net.pt").exists()


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (Served(CONTENT, status=404), "the server says 404 Not Found.*--model PATH"),
        (Served(CONTENT, status=503), "Service Unavailable; check the network, or give a file with --model PATH"),
        (Served(b"<html>log in</html>", content_type="text/html"), "a web page came in place of the file"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(served: Served, message: str, server: Server, tmp_path: Path) -> None:
    server.files[PATH] = served
    with pytest.raises(DownloadError, match=message):
        fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all)


def test_a_server_that_falls_silent_is_given_up(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, pause_seconds=1.0)
    with pytest.raises(DownloadError, match="timed out"):
        fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all, timeout=0.1)


def test_a_slow_server_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.files[PATH] = Served(CONTENT, pause_seconds=0.02)
    fetch_file(server.url + PATH, tmp_path / "net.pt", check=accept_all, timeout=60.0)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_no_server_at_all_names_the_way_out(tmp_path: Path) -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(DownloadError, match=r"[Rr]efused.*--model PATH"):
        fetch_file(url + PATH, tmp_path / "net.pt", check=accept_all)


def test_a_model_outside_the_hub_is_fetched_once_and_found_offline(server: Server, store: Store) -> None:
    server.files[PATH] = Served(CONTENT)
    assert store.locate(WEB_ENTRY) is None
    path = store.fetch(WEB_ENTRY)
    assert path.read_bytes() == CONTENT
    assert store.locate(WEB_ENTRY) == path
    assert store.fetch(WEB_ENTRY) == path
    assert len(server.gets(PATH)) == 1


def test_a_wrong_hash_is_refused_and_nothing_stays(server: Server, store: Store) -> None:
    server.files[PATH] = Served(CONTENT)
    entry = dataclasses.replace(WEB_ENTRY, sha256_prefix="deadbeef")
    with pytest.raises(DownloadError, match=r"net.pt has SHA-256 .*, but deadbeef\.\.\. was published"):
        store.fetch(entry)
    assert [path for path in store.folder.iterdir() if path.suffix != ".lock"] == []


def test_a_hash_known_by_its_first_digits_is_enough(server: Server, store: Store) -> None:
    server.files[PATH] = Served(CONTENT)
    assert store.fetch(dataclasses.replace(WEB_ENTRY, sha256_prefix=SHA256[:8])).exists()


def test_a_file_damaged_after_it_came_is_found_by_what_it_was(server: Server, store: Store) -> None:
    server.files[PATH] = Served(CONTENT)
    path = store.fetch(WEB_ENTRY)
    assert published_hash(WEB_ENTRY, path) == SHA256
    assert check_file(WEB_ENTRY, path, published_hash(WEB_ENTRY, path)) == SHA256
    path.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(DownloadError, match="it is damaged or was replaced"):
        check_file(WEB_ENTRY, path, published_hash(WEB_ENTRY, path))


def test_a_damaged_archive_is_found_without_any_hash(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", CONTENT)
    damaged = bytearray(buffer.getvalue())
    damaged[5000] ^= 1
    (tmp_path / "net.pt").write_bytes(damaged)
    with pytest.raises(DownloadError, match=r"the checksum of archive/data.pkl is wrong"):
        check_file(WEB_ENTRY, tmp_path / "net.pt", None)


def test_a_model_of_the_hub_is_fetched_once_and_found_offline(server: Server, store: Store) -> None:
    server.files[HUB_PATH] = Served(CONTENT)
    seen: list[tuple[int, int | None]] = []
    path = store.fetch(HUB_ENTRY, on_progress=lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    server.files.clear()
    assert store.fetch(HUB_ENTRY) == path


def test_a_hub_download_survives_a_broken_connection(server: Server, store: Store) -> None:
    server.files[HUB_PATH] = Served(CONTENT, cut_after=[30_000])
    assert store.fetch(HUB_ENTRY).read_bytes() == CONTENT
    assert len(server.gets(HUB_PATH)) == 2


def test_a_wrong_file_on_the_hub_is_refused_and_forgotten(server: Server, store: Store) -> None:
    server.files[HUB_PATH] = Served(CONTENT[::-1])
    with pytest.raises(DownloadError, match=r"net.pth has SHA-256"):
        store.fetch(HUB_ENTRY)
    assert store.locate(HUB_ENTRY) is None
    server.files[HUB_PATH] = Served(CONTENT)
    assert store.fetch(HUB_ENTRY).read_bytes() == CONTENT


def test_the_hubs_own_hash_serves_where_the_catalog_has_none(server: Server, store: Store) -> None:
    server.files[HUB_PATH] = Served(CONTENT, etag="0" * 64)
    with pytest.raises(DownloadError, match="0000000000000000 was published"):
        store.fetch(dataclasses.replace(HUB_ENTRY, sha256=None))


def test_a_model_that_is_gone_from_the_hub_is_an_error(store: Store) -> None:
    with pytest.raises(DownloadError, match=r"cannot fetch hub-net from .*404.*--model PATH"):
        store.fetch(HUB_ENTRY)


def test_no_network_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with serving() as gone:
        url = gone.url
    offline = Store(tmp_path, tmp_path / "hub", hub_endpoint=url, github_endpoint=url)
    for entry in (HUB_ENTRY, WEB_ENTRY):
        with pytest.raises(DownloadError, match=r"check the network, or .*--model PATH"):
            offline.fetch(entry)


def test_non_commercial_weights_wait_for_consent(server: Server, store: Store) -> None:
    server.files[HUB_PATH] = Served(CONTENT)
    entry = dataclasses.replace(HUB_ENTRY, license="CC-BY-NC-4.0")
    with pytest.raises(LicenseError, match=r"hub-net are CC-BY-NC-4.0: no commercial use; .*--accept-license"):
        store.fetch(entry)
    assert server.requests == []
    assert store.fetch(entry, accept_license=True).read_bytes() == CONTENT


@pytest.mark.parametrize("entry", [WEB_ENTRY, HUB_ENTRY], ids=["web", "hub"])
def test_what_is_removed_is_gone_and_its_bytes_are_counted(entry: Entry, server: Server, store: Store) -> None:
    server.files.update({PATH: Served(CONTENT), HUB_PATH: Served(CONTENT)})
    store.fetch(entry)
    assert store.remove(entry) == len(CONTENT)
    assert store.locate(entry) is None
    assert store.remove(entry) == 0
    kept = [path for path in store.folder.parent.rglob("*") if path.is_file() and path.stat().st_size >= len(CONTENT)]
    assert kept == []


def test_the_bundled_model_cannot_be_removed(store: Store) -> None:
    with pytest.raises(CheckpointError, match="tiny comes with dptstream"):
        store.remove(find("tiny"))
