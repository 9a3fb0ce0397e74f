"""Strict reading of JSON objects that a stranger sent. Nothing but WireError comes out."""

import json
import math
from collections.abc import Mapping
from typing import NoReturn, TypeVar

from ..errors import WireError

_Value = TypeVar("_Value")


def parse_json(data: bytes | memoryview, what: str, *, limit: int) -> "Fields":
    """Read one JSON object of at most ``limit`` bytes; raises WireError."""
    if len(data) > limit:
        raise WireError(f"{what} is {len(data)} bytes long; at most {limit} are allowed")
    try:
        parsed = json.loads(str(data, "utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{what} is not JSON: {type(error).__name__}") from None
    return Fields(parsed, what)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class Fields:
    """A JSON object whose fields are read by type; unknown fields are ignored.

    Args:
        parsed: What the JSON parser gave.
        what: Name of the object, for errors.
    """

    def __init__(self, parsed: object, what: str) -> None:
        if not isinstance(parsed, dict):
            raise WireError(f"{what} must be a JSON object; got {_short(parsed)}")
        self._fields: dict[str, object] = parsed
        self._what = what

    @property
    def names(self) -> set[str]:
        """The names of all fields."""
        return set(self._fields)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as they are."""
        return dict(self._fields)

    def _get(self, name: str) -> object:
        try:
            return self._fields[name]
        except KeyError:
            raise WireError(f"{self._what} lacks {name!r}") from None

    def _wrong(self, name: str, expected: str) -> WireError:
        return WireError(f"{self._what}: {name!r} must be {expected}; got {_short(self._fields[name])}")

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = self._get(name)
        if type(value) is not int or not low <= value <= high:  # True is an int to isinstance
            raise self._wrong(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str) -> float:
        """Return a finite number."""
        value = self._get(name)
        if type(value) not in (int, float) or not _is_finite(value):
            raise self._wrong(name, "a finite number")
        return float(value)  # type: ignore[arg-type]

    def numbers(self, name: str, count: int) -> list[float]:
        """Return a list of ``count`` finite numbers."""
        value = self._get(name)
        if not isinstance(value, list) or len(value) != count:
            raise self._wrong(name, f"a list of {count} numbers")
        items = Fields({str(index): item for index, item in enumerate(value)}, f"{self._what}: {name!r}")
        return [items.number(str(index)) for index in range(count)]

    def integers(self, name: str, count: int, low: int, high: int) -> list[int]:
        """Return a list of ``count`` whole numbers from ``low`` to ``high``."""
        value = self._get(name)
        if not isinstance(value, list) or len(value) != count:
            raise self._wrong(name, f"a list of {count} whole numbers")
        items = Fields({str(index): item for index, item in enumerate(value)}, f"{self._what}: {name!r}")
        return [items.integer(str(index), low, high) for index in range(count)]

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def choice(self, name: str, choices: Mapping[str, _Value]) -> _Value:
        """Return what ``choices`` holds for the string."""
        value = self._get(name)
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return choices[value]

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return the string, which must be one of ``allowed``."""
        return self.choice(name, dict(zip(allowed, allowed, strict=True)))

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def child(self, name: str) -> "Fields":
        """Return the object inside."""
        return Fields(self._get(name), f"{self._what}: {name!r}")

    def is_null(self, name: str) -> bool:
        """Return whether the field is null; a missing field is an error."""
        return self._get(name) is None


def _is_finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond any float
        return False


def _short(value: object) -> str:
    return ascii(value)[:60]
