"""The list of models: whole, consistent, quick to import, and frank about licences."""

import re
import subprocess
import sys

import pytest

from dptstream.errors import CheckpointError
from dptstream.geometry import DepthKind
from dptstream.models.catalog import ENTRIES, Entry, by_file_name, by_sha256, find
from dptstream.models.recognise import FAMILIES


def test_names_and_files_are_unique() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert len({(entry.repo_id, entry.url, entry.file) for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_says_where_it_comes_from_and_what_it_is(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", entry.name)
    assert entry.family in FAMILIES
    assert entry.license in ("Apache-2.0", "MIT", "CC-BY-NC-4.0")
    assert (entry.repo_id is None) + (entry.url is None) == (2 if entry.bundled else 1)
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.sha256_prefix is None or re.fullmatch(r"[0-9a-f]{8}", entry.sha256_prefix)
    assert entry.size_bytes is None or abs(entry.size_bytes / 1e6 - (entry.megabytes or 0)) < 1
    assert entry.url is None or entry.url.endswith(entry.file)
    assert ("metric" in entry.name) == (entry.kind is DepthKind.METRIC)


def test_weights_that_forbid_commercial_use_need_consent() -> None:
    assert not find("depth-anything-v2-small").needs_consent
    assert not find("midas-beit-large-512").needs_consent
    for name in ("depth-anything-v2-base", "depth-anything-v2-large", "video-depth-anything-large"):
        assert find(name).needs_consent


def test_names_are_found_however_they_are_written() -> None:
    assert find("Depth_Anything_V2_Small").name == "depth-anything-v2-small"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("depth-anything-small", "did you mean depth-anything-v[12]-small"),
        ("midas-beit-large", "did you mean midas-beit-large"),
        ("resnet", "dptstream models list shows all names"),
    ],
)
def test_an_unknown_name_gets_the_nearest_ones(name: str, hint: str) -> None:
    with pytest.raises(CheckpointError, match=hint):
        find(name)


def test_files_are_known_by_hash_and_by_name() -> None:
    small = find("depth-anything-v2-small")
    assert small.sha256 is not None
    assert by_sha256(small.sha256) is small
    assert by_sha256("0" * 64) is None
    assert by_file_name("depth_anything_vitb14.pth") is find("depth-anything-v1-base")
    assert by_file_name("model.safetensors") is None  # two repositories have one


def test_the_catalog_needs_no_torch() -> None:
    code = (
        "import sys, dptstream.models, dptstream.models.catalog, dptstream.models.store; "
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
