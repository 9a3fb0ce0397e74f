"""One file over HTTP: resumed where it broke off, whole or not there at all. Knows no model."""

import os
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock

from ..errors import DownloadError

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes at hand and the bytes in all, where the server says how many."""

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0


def fetch_file(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], None],
    on_progress: OnProgress | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> None:
    """Fetch ``url`` to ``target``, going on with what an earlier attempt left.

    A connection that breaks is taken up again for as long as it brings something. What has arrived stays beside the
    target as ``.part`` until it is whole, so the target is complete whenever it exists.

    Args:
        url: Address, http or https.
        target: Where the file goes; its folder is made.
        check: Called with the whole file before it gets its name; raises DownloadError where it is not the right one.
        on_progress: Told about every chunk.
        timeout: Seconds without a byte after which the server counts as gone.

    Raises:
        DownloadError: The file cannot be had; the text says why and what to do.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():
                _fetch(url, target, check, on_progress, timeout)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error


def _fetch(
    url: str, target: Path, check: Callable[[Path], None], on_progress: OnProgress | None, timeout: float
) -> None:
    part = target.with_name(target.name + ".part")
    fruitless = 0
    while True:
        before = _length(part)
        try:
            if _fetch_rest(url, part, on_progress, timeout):
                break
            reason = "the connection broke off"
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = _reason(error)
        fruitless = 0 if _length(part) > before else fruitless + 1
        if fruitless == 2:
            kept = f"; {_length(part)} bytes are kept for the next attempt" if _length(part) else ""
            raise DownloadError(
                f"cannot fetch {url}: {reason}{kept}; check the network, or give a file with --model PATH"
            )
    try:
        check(part)
    except DownloadError:
        _tag_of(part).unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        raise
    os.replace(part, target)
    _tag_of(part).unlink(missing_ok=True)


def _fetch_rest(url: str, part: Path, on_progress: OnProgress | None, timeout: float) -> bool:
    """Make one request for what is missing; return whether the file is whole now."""
    have = _length(part)
    request = Request(url, headers={"User-Agent": "dptstream", "Accept-Encoding": "identity"})  # noqa: S310 - catalog addresses
    tag = _tag_of(part).read_text(encoding="utf-8") if have and _tag_of(part).exists() else ""
    if have and tag:
        # Only if the file there is still the one that the part belongs to; else the server sends all of it.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    try:
        response: HTTPResponse = urlopen(request, timeout=timeout)  # noqa: S310 - catalog addresses
    except HTTPError as error:
        if error.code == 416 and _total_of(error.headers.get("Content-Range")) == have:
            return True
        if error.code == 416:
            part.unlink()
            return False
        if error.code in (408, 429) or error.code >= 500:
            raise
        raise DownloadError(
            f"cannot fetch {url}: the server says {error.code} {error.reason}; it may have moved, give a file with --model PATH"
        ) from error
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(
                f"cannot fetch {url}: a web page came in place of the file; is there a login page between?"
            )
        return _receive(response, part, on_progress)


def _receive(response: HTTPResponse, part: Path, on_progress: OnProgress | None) -> bool:
    resuming = response.status == 206 and _start_of(response.headers.get("Content-Range")) == _length(part)
    have = _length(part) if resuming else 0
    announced = response.headers.get("Content-Length")
    total = have + int(announced) if announced and announced.isdigit() else None
    tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    _tag_of(part).write_text("" if tag.startswith("W/") else tag, encoding="utf-8")
    with part.open("ab" if resuming else "wb") as file:
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            have += len(chunk)
            if on_progress:
                on_progress(have, total)
    return total is None or have >= total


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return " ".join(str(inner).split()) or type(inner).__name__


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _start_of(content_range: str | None) -> int | None:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else None


def _total_of(content_range: str | None) -> int | None:
    found = re.search(r"/(\d+)$", content_range or "")
    return int(found[1]) if found else None
