from collections.abc import Iterator
from typing import Any

import pytest

from .browsing import Window, a_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def window(browser: Any) -> Iterator[Window]:
    window = Window(browser)
    yield window
    window.close()
    assert window.complaints == []
