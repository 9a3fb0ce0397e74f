"""Takes a picture or video that a visitor sends, for an engine in this process to run."""

import asyncio
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from ...errors import DptStreamError, describe

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60
_NO_ENGINE = (
    "This page shows depth that was computed elsewhere, so there is no network here to run a picture or video through. "
    "Start the viewer with an input of its own instead: dptstream view VIDEO --web"
)


class Uploads:
    """Keeps the file sent last, in a folder that goes with this object.

    Args:
        run: Shows the file from now on and returns a line for people; raises DptStreamError, OSError or ValueError where
            it cannot. Called in a thread. None where there is no engine.
        max_bytes: Largest file taken.
    """

    def __init__(self, run: Callable[[Path], str] | None, max_bytes: int) -> None:
        self._run = run
        self._max_bytes = max_bytes
        # Windows cannot delete what a decoder still has open.
        self._folder = tempfile.TemporaryDirectory(prefix="dptstream-", ignore_cleanup_errors=True)
        self._busy = asyncio.Lock()
        self._count = 0
        self._kept: Path | None = None

    def close(self) -> None:
        """Delete what was sent."""
        self._folder.cleanup()

    async def take(self, request: Request) -> Response:
        """Answer the upload."""
        if self._run is None:
            return PlainTextResponse(_NO_ENGINE, 409)
        if self._busy.locked():
            return PlainTextResponse("Another file is on its way: try again when it is there.", 409)
        async with self._busy:
            self._count += 1
            # With a number before it no name means anything to the system, and none comes twice.
            name = _UNSAFE.sub("_", request.query_params.get("name", ""))[-_LONGEST_NAME:]
            path = Path(self._folder.name, f"{self._count}-{name.lstrip('.') or 'upload'}")
            try:
                await self._receive(request, path)
                note = await asyncio.to_thread(self._run, path)
            except (DptStreamError, OSError, ValueError) as error:
                path.unlink(missing_ok=True)
                too_large = isinstance(error, _TooLargeError)
                why = describe(error).replace(str(path), path.name.partition("-")[2])
                return PlainTextResponse(why, 413 if too_large else 422)
            except ClientDisconnect:
                path.unlink(missing_ok=True)
                return PlainTextResponse("", 400)
            before, self._kept = self._kept, path
            if before is not None:
                with suppress(OSError):
                    before.unlink()
            return PlainTextResponse(note)

    async def _receive(self, request: Request, path: Path) -> None:
        limit = f"a file may have {self._max_bytes / 1e6:.0f} MB"
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._max_bytes:
            raise _TooLargeError(f"{limit}; this one has {announced} bytes")
        size = 0
        with path.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._max_bytes:
                    raise _TooLargeError(f"{limit}; this one has more")
                file.write(chunk)
        if not size:
            raise ValueError("the file is empty")


class _TooLargeError(ValueError):
    """The file is larger than allowed."""
