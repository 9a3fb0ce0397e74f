"""The files of the page, read once and held; there is no way from an address to any other file."""

import base64
import functools
import gzip
import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Said by us: on Windows the registry, which anybody may change, would be asked otherwise."""

_IMPORT_MAP = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)


@functools.cache
def page_files() -> dict[str, bytes]:
    """Return the content of each address of the page, such as ``/js/main.js``; ``/`` is the page itself."""
    found: dict[str, bytes] = {}
    _collect(files(__package__).joinpath("static"), "", found)
    found["/"] = found.pop("/index.html")
    return found


def content_policy() -> str:
    """Return the Content-Security-Policy: nothing from elsewhere, and of inline scripts the import map alone."""
    match = _IMPORT_MAP.search(page_files()["/"])
    assert match is not None  # the page finds three.js by it
    digest = base64.b64encode(hashlib.sha256(match[1]).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def send_file(request: Request) -> Response:
    """Answer with one of the page's files, packed where the browser can unpack it."""
    path = request.url.path
    data = page_files().get(path)
    if data is None:
        return Response("There is nothing here.", 404, media_type="text/plain")
    suffix = "." + path.rpartition(".")[2] if path != "/" else ".html"
    headers = {"ETag": _etag(path), "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        data = _packed(path)
        headers["Content-Encoding"] = "gzip"
    return Response(data, headers=headers, media_type=_TYPES[suffix])


def _collect(folder: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}/{entry.name}", found)
        elif "." + entry.name.rpartition(".")[2] in _TYPES:
            found[f"{prefix}/{entry.name}"] = entry.read_bytes()


@functools.cache
def _etag(path: str) -> str:
    return f'"{hashlib.sha256(page_files()[path]).hexdigest()[:24]}"'


@functools.cache
def _packed(path: str) -> bytes:
    return gzip.compress(page_files()[path], 6, mtime=0)
