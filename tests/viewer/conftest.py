import pytest

from dptstream.errors import MissingExtraError
from dptstream.viewer import graphics


@pytest.fixture(scope="session")
def drawn() -> None:
    """Ask for a graphics stack; skips, saying why, where there is none."""
    try:
        graphics.check_graphics()
    except MissingExtraError as error:
        pytest.skip(str(error))
