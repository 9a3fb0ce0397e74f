"""A small run of the fuzzer; the long one is ``python -m tests.wire.fuzz``."""

from .fuzz import fuzz


def test_damaged_messages_give_wire_errors_alone() -> None:
    refused, understood = fuzz(4000, seed=20)
    assert refused > 2000
    assert understood > 100
