"""Feed damaged messages to the reader: ``python -m tests.wire.fuzz [INPUTS] [SEED]``.

Nothing but WireError may come out, and memory stays bounded (checked by a limit on the address space where the
system has one). What does come out as a message must survive being packed and unpacked again.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from dptstream.errors import WireError
from dptstream.geometry import DepthKind
from dptstream.wire import DepthPlane, JpegColor, Limits, pack, unpack
from dptstream.wire.requests import Request, pack_reply, pack_request, unpack_reply, unpack_request

from .making import comparable, make_end, make_frame, make_status

LIMITS = Limits(max_plane_bytes=2**24)
HEADROOM_BYTES = 2**29
NASTY: list[object] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        2**31,
        2**53,
        2**63,
        10**400,
        0.0,
        -0.0,
        1e308,
        1e-320,
        "",
        "\x00",
        "\ud800",
        "x" * 300,
    ),
    *(
        "../../etc/passwd",
        "cam1",
        "16FC1",
        "32FC1",
        "16UC1",
        "delta-zlib",
        "delta-zstd",
        "jpeg",
        [],
        {},
        [1, 0],
        [[]],
        {"v": 1},
    ),
]


def seeds() -> list[list[bytes]]:
    half = DepthPlane(np.ones((3, 5), np.float16), DepthKind.RELATIVE_INVERSE, 0.0, 1.0)
    messages = [
        make_frame(),
        make_frame(color=None),
        make_frame(depth=half, color=JpegColor(b"\xff\xd8\xff", 5, 3), captured_unix_ns=None),
        make_status(),
        make_end(),
    ]
    packed = [pack(message) for message in messages]
    packed += [pack(message, compression="delta-zlib") for message in messages[:3]]
    if find_spec("zstandard"):
        packed += [pack(message, compression="delta-zstd") for message in messages[:3]]
    return [[bytes(part) for part in parts] for parts in packed]


def flip_bytes(parts: list[bytes], rng: random.Random) -> None:
    index = rng.randrange(len(parts))
    data = bytearray(parts[index])
    for _ in range(rng.randint(1, 4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    parts[index] = bytes(data)


def cut_or_grow(parts: list[bytes], rng: random.Random) -> None:
    index = rng.randrange(len(parts))
    data, place = parts[index], rng.randrange(len(parts[index]) + 1)
    parts[index] = data[:place] + (rng.randbytes(rng.randint(1, 40)) if rng.random() < 0.5 else b"")


def juggle_parts(parts: list[bytes], rng: random.Random) -> None:
    action = rng.randrange(4)
    if action == 0:
        rng.shuffle(parts)
    elif action == 1:
        parts.pop(rng.randrange(len(parts)))
    elif action == 2:
        parts.insert(rng.randrange(len(parts) + 1), rng.randbytes(rng.randrange(30)))
    else:
        parts.extend([b""] * rng.randrange(12))


def change_field(parts: list[bytes], rng: random.Random) -> None:
    """Replace, remove or add a field somewhere in the header."""
    header: Any = json.loads(parts[1])
    place = header
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        break
    if rng.random() < 0.1 and isinstance(place, dict):
        del place[key]
    else:
        place[key] = rng.choice(NASTY)
    parts[1] = json.dumps(header).encode()


def change_text(parts: list[bytes], rng: random.Random) -> None:
    """Put something that is not JSON into the header."""
    text = parts[1]
    place = rng.randrange(len(text) + 1)
    piece = rng.choice([b"NaN", b"Infinity", b"[" * 3000, b'"', b"\\u", b"\xff", b"9" * 5000, b"{}", b",", b"1e999"])
    parts[1] = text[:place] + piece + text[place + rng.randrange(3) :]


MUTATIONS: list[Callable[[list[bytes], random.Random], None]] = [
    flip_bytes,
    cut_or_grow,
    juggle_parts,
    change_field,
    change_field,
    change_text,
]


def limit_memory() -> Callable[[], int]:
    """Limit this process to half a GiB more than it has; returns a function that gives the peak in bytes."""
    try:
        import resource
        from pathlib import Path
    except ImportError:
        return lambda: 0
    status = Path("/proc/self/statm")
    if status.exists():
        size = int(status.read_text().split()[0]) * resource.getpagesize() + HEADROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(inputs: int, seed: int) -> tuple[int, int]:
    """Try so many inputs; returns how many were refused and how many understood."""
    rng = random.Random(seed)
    originals = seeds()
    requests = [
        pack_request(Request("seek", {"feed": "cam1", "seconds": 3.5})),
        pack_request(Request("size", {"pixels": 518})),
        pack_reply({"a": 1}),
        pack_reply(WireError("no")),
    ]
    refused = understood = 0
    for number in range(inputs):
        try:
            if number % 8 == 0:
                parts = [b"", rng.choice(requests)]
                rng.choice((change_text, change_field))(parts, rng)
                (unpack_request if rng.random() < 0.5 else unpack_reply)(parts[1])
            else:
                parts = list(rng.choice(originals))
                for _ in range(rng.choice((1, 1, 2, 4))):
                    if len(parts) > 1:
                        try:
                            rng.choice(MUTATIONS)(parts, rng)
                        except (ValueError, IndexError, TypeError, RecursionError):
                            continue  # an earlier mutation left nothing for this one to work on
                message = unpack(parts, limits=LIMITS)
                assert comparable(unpack(pack(message))) == comparable(message)
            understood += 1
        except WireError:
            refused += 1
        except BaseException:
            print(f"input {number} of seed {seed}: {parts!r}"[:4000])
            raise
    return refused, understood


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    peak = limit_memory()
    before, begin = peak(), time.monotonic()
    refused, understood = fuzz(inputs, seed)
    print(
        f"{inputs} inputs in {time.monotonic() - begin:.0f} s: {refused} refused, {understood} understood, nothing else; "
        f"peak memory {peak() / 2**20:.0f} MiB, {(peak() - before) / 2**20:.0f} MiB more than at the start"
    )


if __name__ == "__main__":
    main()
