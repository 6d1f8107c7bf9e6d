"""`forge runs export` and `verify`: a run's ledger taken away, and chains checked without a server.

`verify` reads this home's own ledger, whoever's runs are in it, and believes no server. A file is
checked by the two sentences of docs/ledger.md alone, as anybody else could.
"""

import hashlib
import json
from pathlib import Path

import rfc8785

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.link import linked
from forge.cli.live import say_written
from forge.cli.newfile import write_new
from forge.cli.outfolder import OutFolder
from forge.cli.render import Screen
from forge.cli.watch import fetched
from forge.errors import InputRefused, LedgerCorrupt
from forge.keeping import make_home, open_database
from forge.ledger.chain import check
from forge.ledger.fold import fold
from forge.ledger.read import LedgerReader
from forge.settings import Settings

_LARGEST = 1 << 30
"""How large an exported ledger may be, in bytes, to be read at once."""


async def export(
    settings: Settings, screen: Screen, run_id: str, out: Path | None, files: Path | None
) -> Exit:
    """Write a run's ledger, checked, as it is now; with `files` also what it made."""
    if files is not None:
        OutFolder(files).check()
    async with linked(settings, screen, asking=False) as link:
        records = await link.client.recorded(run_id)
        check(records)
        lines = [record.model_dump_json(ensure_ascii=True) for record in records]
        if out is None:
            for line in lines:
                screen.raw_json(line)
        else:
            write_new(out, "".join(f"{line}\n" for line in lines).encode())
            screen.notice(f"{out}: {words.plural(len(records), 'record')}, chain verified.")
        failed = False
        if files is not None:
            made = {each.name: each for each in fold(records).artifacts}.values()
            for each in await fetched(link.client, records[0].run_id, OutFolder(files), made):
                say_written(screen, screen.notice, each)
                failed = failed or each.error is not None
    return Exit.FAILED if failed else Exit.DONE


async def verify(settings: Settings, screen: Screen, run_id: str) -> Exit:
    """Check one run of this home's ledger, or all."""
    make_home(settings.home)
    async with open_database(settings) as database:
        reader = LedgerReader(database)
        if run_id:
            run = await reader.find(run_id)
            count = await reader.verify(run.id)
            said = f"{run.id}: {words.plural(count, 'record')}, chain verified, {run.status}."
        else:
            said = f"{words.plural(await reader.verify_all(), 'run')}, every chain verified."
    screen.line(said)
    return Exit.DONE


async def verify_file(screen: Screen, path: Path, run_id: str) -> Exit:
    """Check a ledger that was exported; with `run_id` that it is this run's."""
    ended, count, before, owner = "it goes on", 0, "", ""
    for line in _lines(path):
        count += 1
        record = _record(line, count)
        stated = record.pop("hash", None)
        place = (record.get("seq"), record.get("prev"), record.get("run_id"))
        owner = owner or str(record.get("run_id"))
        if place != (count, before, owner) or _hash(record, count) != stated:
            raise LedgerCorrupt(f"Record {count} of {path} was changed, or is not the next one.")
        before, event = str(stated), record.get("event")
        kind = event.get("type") if isinstance(event, dict) else None
        ended = "whole to its end" if kind == "run.finished" else "it goes on after this"
    if not count or run_id not in owner:
        raise InputRefused(f"{path} holds no record of the run {run_id[:80]!r}.")
    screen.line(f"{owner[:80]}: {words.plural(count, 'record')}, chain verified, {ended}.")
    return Exit.DONE


def _lines(path: Path) -> list[bytes]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputRefused(f"{path} is too large to be a run's ledger.")
        return path.read_bytes().splitlines()
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: {error.strerror}.") from error


def _record(line: bytes, number: int) -> dict[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputRefused(f"Line {number} is not JSON.") from error
    if not isinstance(found, dict):
        raise InputRefused(f"Line {number} is no record of a ledger.")
    return found


def _hash(record: dict[str, object], number: int) -> str:
    try:
        return hashlib.sha256(rfc8785.dumps(record)).hexdigest()  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise InputRefused(f"Line {number} is no record of a ledger.") from error
