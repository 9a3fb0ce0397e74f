"""Key files."""

import os
import stat
from pathlib import Path

import pytest

from dptstream.errors import WireError
from dptstream.wire.keys import load_client_keys, load_server_keys, make_keys

posix = pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")


def test_both_sides_get_what_they_need_and_no_more(tmp_path: Path) -> None:
    written = make_keys(tmp_path, ["laptop", "studio"])
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "server.key_secret",
        "server.key",
        "laptop/client.key_secret",
        "clients/laptop.key",
        "laptop/server.key",
        "studio/client.key_secret",
        "clients/studio.key",
        "studio/server.key",
    ]
    server, laptop = load_server_keys(tmp_path), load_client_keys(tmp_path / "laptop")
    assert laptop.server == server.public
    assert server.allowed()[laptop.public] == "laptop"
    assert server.secret.decode() not in "".join(path.read_text() for path in (tmp_path / "laptop").iterdir())
    assert repr(server.secret) not in repr(server)


@posix
def test_secrets_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        written = make_keys(tmp_path)
    finally:
        os.umask(before)
    for path in written:
        expected = 0o600 if path.suffix == ".key_secret" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


@posix
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / "server.key_secret").chmod(0o644)
    with pytest.raises(WireError, match=r"can be read by others; run: chmod 600"):
        load_server_keys(tmp_path)


def test_another_client_is_added_without_touching_the_server_or_the_first(tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    make_keys(tmp_path, ["studio"])
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(load_server_keys(tmp_path).allowed().values()) == ["laptop", "studio"]


def test_keys_that_exist_are_never_replaced(tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop"])
    with pytest.raises(WireError, match=r"client.key_secret exists already"):
        make_keys(tmp_path, ["laptop"])


@pytest.mark.parametrize("name", ["../up", "clients", "", "a b"])
def test_a_client_whose_name_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a client's name"):
        make_keys(tmp_path, [name])


def test_the_folder_of_the_other_side_is_told_apart(tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop"])
    with pytest.raises(WireError, match="holds the keys of a client; a server takes the folder in which"):
        load_server_keys(tmp_path / "laptop")
    with pytest.raises(WireError, match="holds the keys of the server; a client takes a folder within"):
        load_client_keys(tmp_path)


def test_a_name_given_twice_is_made_once(tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop", "laptop"])
    assert list(load_server_keys(tmp_path).allowed().values()) == ["laptop"]


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"no key file .*server.key_secret; `dptstream keys DIR`"):
        load_server_keys(tmp_path)
    make_keys(tmp_path, ["laptop"])
    (tmp_path / "laptop" / "server.key").write_text("nothing useful\n")
    with pytest.raises(WireError, match="must hold one key of 40 characters"):
        load_client_keys(tmp_path / "laptop")
    (tmp_path / "clients" / "damaged.key").write_bytes(b"\xff" * 10_000)
    assert list(load_server_keys(tmp_path).allowed().values()) == ["laptop"]
