"""Where the catalog's files lie on this machine: fetched once with their licence accepted, verified, used offline."""

import inspect
import io
import logging
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DownloadError, LicenseError
from .catalog import ENTRIES, Entry
from .hashing import sha256_of
from .http_file import OnProgress, fetch_file

LOGGER = logging.getLogger(__name__)

CACHE_VARIABLE = "DPTSTREAM_CACHE"
HUB_VARIABLE = "HF_ENDPOINT"
GITHUB_VARIABLE = "DPTSTREAM_GITHUB_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Store:
    """The folders of downloaded models and the servers they come from."""

    folder: Path
    """For files that come from elsewhere than the Hugging Face hub."""
    hub_folder: Path | None = None
    """The hub's cache; None is its own default, shared with every other program."""
    hub_endpoint: str | None = None
    """Server in place of https://huggingface.co."""
    github_endpoint: str | None = None
    """Server in place of https://github.com."""

    @classmethod
    def from_environment(cls) -> "Store":
        """Make the store that ``DPTSTREAM_CACHE``, ``HF_ENDPOINT`` and ``DPTSTREAM_GITHUB_ENDPOINT`` describe."""
        folder = os.environ.get(CACHE_VARIABLE)
        return cls(
            Path(folder) if folder else default_folder(),
            hub_endpoint=os.environ.get(HUB_VARIABLE) or None,
            github_endpoint=os.environ.get(GITHUB_VARIABLE) or None,
        )

    def locate(self, entry: Entry) -> Path | None:
        """Return the entry's file where it is on this machine; never asks the network."""
        if entry.bundled:
            path = Path(str(files("dptstream.models") / "bundled" / entry.file))
        elif entry.repo_id:
            from huggingface_hub import try_to_load_from_cache

            found = try_to_load_from_cache(
                entry.repo_id, entry.file, cache_dir=self.hub_folder, repo_type=entry.repo_type
            )
            return Path(found) if isinstance(found, str) else None
        else:
            path = self.folder / entry.file
        return path if path.is_file() else None

    def installed(self) -> list[Entry]:
        """Return the entries whose files are on this machine, the bundled one first."""
        return [entry for entry in ENTRIES if self.locate(entry)]

    def fetch(self, entry: Entry, *, accept_license: bool = False, on_progress: OnProgress | None = None) -> Path:
        """Return the entry's file, downloaded and verified if it is not here yet.

        Args:
            entry: Which.
            accept_license: Whether the user accepts a licence that forbids some uses.
            on_progress: Told about every chunk.

        Raises:
            LicenseError: The licence was not accepted.
            DownloadError: It cannot be had, or what came is not what was published.
        """
        found = self.locate(entry)
        if found is not None:
            return found
        if entry.bundled:
            raise CheckpointError(f"{entry.file} is missing from this installation of dptstream: install it again")
        if entry.needs_consent and not accept_license:
            raise LicenseError(
                f"the weights of {entry.name} are {entry.license}: no commercial use; "
                f"see {entry.origin}, and repeat with --accept-license if you accept"
            )
        LOGGER.info("fetching %s (%s) from %s", entry.name, entry.license, entry.origin)
        if entry.repo_id:
            path = self._fetch_from_hub(entry, on_progress)
            try:
                check_file(entry, path, published_hash(entry, path))
            except DownloadError:
                _forget(path)
                raise
            return path
        return self._fetch_from_web(entry, on_progress)

    def remove(self, entry: Entry) -> int:
        """Delete the entry's file from this machine; return the bytes that were freed, 0 where it was not here.

        Raises:
            CheckpointError: It comes with dptstream.
        """
        if entry.bundled:
            raise CheckpointError(f"{entry.name} comes with dptstream and cannot be removed alone")
        path = self.locate(entry)
        if path is None:
            return 0
        freed = path.stat().st_size
        _forget(path)
        return freed

    def _fetch_from_web(self, entry: Entry, on_progress: OnProgress | None) -> Path:
        assert entry.url is not None
        url = entry.url
        if self.github_endpoint:
            url = url.replace("https://github.com", self.github_endpoint.rstrip("/"))
        path = self.folder / entry.file

        def check(part: Path) -> None:
            # No hash is published for these files, so what came is remembered, for `models verify` to find later damage.
            _digest_file(path).write_text(f"{check_file(entry, part, entry.sha256)}  {path.name}\n", encoding="ascii")

        fetch_file(url, path, check=check, on_progress=on_progress)
        return path

    def _fetch_from_hub(self, entry: Entry, on_progress: OnProgress | None) -> Path:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

        assert entry.repo_id is not None
        options: dict[str, Any] = {
            "repo_type": entry.repo_type,
            "cache_dir": self.hub_folder,
            "endpoint": self.hub_endpoint,
        }
        if on_progress and "tqdm_class" in inspect.signature(hf_hub_download).parameters:
            options["tqdm_class"] = _bar_for(on_progress)
        with _quiet_hub(quiet=on_progress is None):
            try:
                # Ask once before the download proper, which tries for half a minute to reach a server that is not there.
                get_hf_file_metadata(
                    hf_hub_url(entry.repo_id, entry.file, repo_type=entry.repo_type, endpoint=self.hub_endpoint)
                )
                return Path(hf_hub_download(entry.repo_id, entry.file, **options))
            except Exception as error:
                raise DownloadError(_hub_fault(entry, error)) from error


def default_folder() -> Path:
    """Return the folder for downloads that is usual on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dptstream" / "models"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dptstream" / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dptstream" / "models"


def published_hash(entry: Entry, path: Path) -> str | None:
    """Return the SHA-256 that a file at hand must have: the catalog's, else the hub's, else what it had when it came."""
    if entry.sha256:
        return entry.sha256
    if entry.repo_id:
        # The hub's cache calls a large file by its hash, and the name it is found by is a link to it.
        name = path.resolve().name
        return name if re.fullmatch(r"[0-9a-f]{64}", name) else None
    remembered = _digest_file(path)
    return remembered.read_text(encoding="ascii").split()[0] if remembered.exists() else None


def check_file(entry: Entry, path: Path, sha256: str | None) -> str:
    """Check a file against what is known of it; return its SHA-256.

    Raises:
        DownloadError: It is not the published file.
    """
    length = path.stat().st_size
    digest = sha256_of(path)
    if sha256 or entry.sha256_prefix:
        if digest == sha256 or (not sha256 and digest.startswith(entry.sha256_prefix or "")):
            return digest
        if entry.size_bytes and length != entry.size_bytes:
            raise DownloadError(
                f"{entry.file} has {length} bytes, but {entry.size_bytes} were published; download it again"
            )
        expected = sha256 or f"{entry.sha256_prefix}..."
        raise DownloadError(
            f"{entry.file} has SHA-256 {digest[:16]}..., but {expected[:16]} was published; "
            "it is damaged or was replaced, so it is not used"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise DownloadError(f"{entry.file} is damaged: the checksum of {damaged} is wrong; download it again")
    return digest


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _forget(path: Path) -> None:
    """Delete a file, and what it is a link to in the hub's cache."""
    content = path.resolve()
    path.unlink()
    if content != path:
        content.unlink(missing_ok=True)
    _digest_file(path).unlink(missing_ok=True)


def _hub_fault(entry: Entry, error: Exception) -> str:
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        reason = f"the server says {status}: it wants a login (huggingface-cli login) or its terms accepted"
    elif status:
        reason = f"the server says {status}"
    else:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:160] or type(cause).__name__
    return (
        f"cannot fetch {entry.name} from {entry.origin}: {reason}; check the network, "
        f"or get {entry.file} by other means and give it with --model PATH"
    )


@contextmanager
def _quiet_hub(*, quiet: bool) -> Iterator[None]:
    """Keep the hub's library from drawing its own bar."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if not quiet or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _bar_for(on_progress: OnProgress) -> type:
    """Make the kind of bar the hub's library wants, which draws nothing and tells ``on_progress``."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    bars: list[object] = []

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO()})
            bars.append(self)

        def update(self, n: float | None = 1) -> bool | None:
            done: bool | None = super().update(n)
            if self is bars[0]:  # some ways of transfer show a second bar for the same file
                on_progress(int(self.n), None if self.total is None else int(self.total))
            return done

    return Bar
