import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("package", ["engine", "geometry", "models", "sinks", "sources", "temporal"])
def test_everything_a_package_promises_is_there(package: str) -> None:
    module = importlib.import_module(f"dptstream.{package}")
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_every_package_is_a_layer_of_the_architecture() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    named = " ".join(next(rule["layers"] for rule in contracts if rule["type"] == "layers"))
    packages = {path.parent.name for path in (ROOT / "dptstream").glob("*/__init__.py")}
    assert packages <= set(named.replace("|", " ").split())


def test_every_public_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "dptstream").rglob("*.py")
        if not path.read_text(encoding="utf-8").lstrip().startswith('"""')
    ]
    assert silent == []
