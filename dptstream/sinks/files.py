"""Files that appear whole or not at all, and one clear line when they cannot. Knows no format."""

import errno
import os
from pathlib import Path

from ..errors import SinkError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run again with --resume",
    errno.EDQUOT: "the disk quota is used up; free some space and run again with --resume",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EACCES: "no permission; choose another folder or change its rights",
    errno.EPERM: "no permission; choose another folder or change its rights",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
}


def sink_error(path: Path, error: OSError) -> SinkError:
    """Return one line that names the file, the reason and what to do."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return SinkError(f"cannot write {path}: {reason}")


def make_folder(path: Path) -> None:
    """Make ``path`` and its parents where they are missing; raises SinkError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SinkError(f"cannot write {path}: it is a file, not a folder; choose another folder") from None
    except OSError as error:
        raise sink_error(path, error) from error


def write_file(path: Path, content: bytes | memoryview, *, scratch: Path, durable: bool = False) -> int:
    """Write a file that appears under its final name only when complete.

    Args:
        path: Final name; a file that is there already is replaced.
        content: All bytes of the file.
        scratch: Existing folder of the same file system for the temporary file.
        durable: Wait until the bytes are on the disk. Without it a power cut, but not a killed
            process, may lose the newest files; a resumed run notices by their size.

    Returns:
        The size in bytes.

    Raises:
        SinkError: The file cannot be written; nothing is left under its final name.
    """
    part = scratch / f"{path.name}.part"
    try:
        with part.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        discard(part)
        raise sink_error(path, error) from error
    return memoryview(content).nbytes


def discard(path: Path) -> None:
    """Remove a temporary file as far as that is possible."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
