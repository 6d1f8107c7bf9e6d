"""The shape of the code: plaques, essays, sizes and names."""

import ast
import re
from pathlib import Path

import pytest

import house

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

LONG_FILES = {
    "tests/integration/test_cli.py": "one command line, tried as whole processes in one house",
    "tests/unit/agent/test_loop.py": "one loop; its stage is set up once for all its tests",
    "tests/unit/sandbox/agent/test_connection.py": "one agent, honest and lying, on one fake guest",
    "tests/unit/wire/test_channel.py": "one channel; both its ends are set up once",
}
"""Tests alone: one file for each file of the source, however much there is to try."""

VAGUE = {"common", "core", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

CODE = house.modules("src", "guest", "benchmarks", "tests")
INITS = [path for path in house.modules("src", "guest") if path.name == "__init__.py"]


def sized(path: Path) -> list[tuple[str, int]]:
    """Every function of a file and how many lines it has, its docstring left out."""
    functions = []
    for node in ast.walk(ast.parse(CODE[path])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node) else None
            docs = (said.end_lineno or 0) - said.lineno + 1 if said else 0
            functions.append((node.name, (node.end_lineno or 0) - node.lineno + 1 - docs))
    return functions


@pytest.mark.parametrize("path", INITS, ids=house.name)
def test_a_room_has_a_plaque_and_no_door(path: Path):
    """`__init__.py` is one docstring; only the house itself says its version there, too."""
    body = ast.parse(CODE[path]).body
    assert ast.get_docstring(ast.parse(CODE[path]))
    rest = [ast.unparse(node).partition(" = ")[0] for node in body[1:]]
    assert rest == (["__version__"] if house.name(path) == "src/forge/__init__.py" else [])


def test_every_module_opens_with_an_essay():
    """Code, tests and benchmarks alike say first what they are."""
    assert [house.name(path) for path in CODE if not ast.get_docstring(ast.parse(CODE[path]))] == []


def test_no_file_is_longer_than_its_wall():
    """400 lines; whoever is listed as longer is longer, with a reason, and is a test."""
    long = {house.name(path) for path, text in CODE.items() if text.count("\n") > LONGEST_FILE}
    assert long == set(LONG_FILES)
    assert all(LONG_FILES.values())
    assert all(name.startswith("tests/") for name in LONG_FILES)


def test_every_function_fits_a_screen():
    """60 lines at most, docstring free, without exception."""
    long = [
        (house.name(path), *function)
        for path in CODE
        for function in sized(path)
        if function[1] > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_name_is_a_drawer_for_anything():
    """A file named for nothing in particular shows a missing noun."""
    vague = [
        house.name(path)
        for path in CODE
        if VAGUE & {word for part in path.relative_to(house.ROOT).parts for word in words(part)}
    ]
    assert vague == []


def words(part: str) -> list[str]:
    return re.split(r"[_.]", part.lower())
