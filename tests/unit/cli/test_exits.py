"""One exit code for each kind of outcome, and each is documented."""

import re
from pathlib import Path

import pytest

from forge import errors
from forge.cli.exits import Exit, of_error, of_run
from forge.events import Fault, RunFinished, RunStatus, Totals

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"


def classes(base: type[errors.ForgeError]) -> list[type[errors.ForgeError]]:
    return [base, *(found for kind in base.__subclasses__() for found in classes(kind))]


def finished(status: RunStatus, error: errors.ForgeError | None = None) -> RunFinished:
    fault = Fault.of(error) if error else None
    return RunFinished(status=status, answer="", error=fault, totals=Totals())


@pytest.mark.parametrize("kind", classes(errors.ForgeError))
def test_an_error_ends_the_same_way_raised_or_recorded(kind: type[errors.ForgeError]):
    """A run that failed by an error exits as if the error had been raised."""
    assert of_run(finished("failed", kind("it happened"))) is of_error(kind)
    assert of_error(kind) not in (Exit.DONE, Exit.BUG)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ForgeError, 1),
        (errors.PathRefused, 2),
        (errors.ProgramMissing, 3),
        (errors.ImageMissing, 3),
        (errors.TemplateCorrupt, 3),
        (errors.ModelUnauthorized, 4),
        (errors.CapReached, 5),
        (errors.PriceUnknown, 5),
        (errors.SandboxDied, 6),
        (errors.LedgerUnwritable, 7),
    ],
)
def test_the_codes_are_what_scripts_rely_on(kind: type[errors.ForgeError], code: int):
    """They never change once released."""
    assert of_error(kind) == code


def test_a_run_that_ended_well_or_was_stopped():
    """Neither is a failure."""
    assert of_run(finished("done")) is Exit.DONE
    assert of_run(finished("cancelled")) is Exit.INTERRUPTED
    assert of_run(finished("interrupted")) is Exit.FAILED


def test_a_code_from_a_newer_forge_is_a_failure():
    """A name this version does not know still ends in a code that means something."""
    fault = Fault(code="from_the_future", message="m", hint="h", fault="forge", retry=False)
    run = RunFinished(status="failed", answer="", error=fault, totals=Totals())
    assert of_run(run) is Exit.FAILED


def test_every_exit_code_is_documented():
    """docs/cli.md has one row for each, and no other."""
    rows = re.findall(r"^\| (\d+) \| ", DOCS.read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == sorted(Exit)
