"""Families may not import each other, so what they share is copied; a copy says so and stays equal to its source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECLARATION = re.compile(r"^# Copied from (\S+)\n(?:class|def) (\w+)", re.MULTILINE)


def declared_copies() -> list[tuple[str, str, str]]:
    copies = []
    for path in sorted((ROOT / "dptstream" / "models").rglob("*.py")):
        here = path.relative_to(ROOT).as_posix()
        copies += [(here, name, source) for source, name in DECLARATION.findall(path.read_text(encoding="utf-8"))]
    return copies


def definition(path: str, name: str) -> str | None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(text, node)
    return None


@pytest.mark.parametrize(("copy", "name", "source"), declared_copies())
def test_a_declared_copy_equals_its_source(copy: str, name: str, source: str) -> None:
    original = definition(source, name)
    assert original is not None, f"{source} has no {name}"
    assert definition(copy, name) == original


def test_every_declaration_stands_directly_above_what_it_speaks_of() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "dptstream" / "models").rglob("*.py")]
    assert sum(text.count("# Copied from ") for text in texts) == len(declared_copies()) > 0
