"""`forge files`: what was given and made, listed, fetched and given."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from forge.cli import words
from forge.cli.exits import Exit, of_error
from forge.cli.link import linked
from forge.cli.outfolder import OutFolder
from forge.cli.render import Screen
from forge.cli.uploads import give, uploads
from forge.client.said import FileLine
from forge.events import ArtifactSaved
from forge.settings import Settings


async def list_files(
    settings: Settings, screen: Screen, conversation: str, limit: int, *, as_json: bool
) -> Exit:
    """Print the newest files."""
    async with linked(settings, screen, asking=False) as link:
        inside = await link.client.talks.find(conversation) if conversation else ""
        found = await link.client.files.list(limit, inside)
    if as_json:
        for each in found:
            screen.raw_json(each.model_dump_json(ensure_ascii=True))
    elif found:
        columns = ("FILE", "MADE", "SIZE", "KIND", "VERSION", "NAME")
        screen.table(columns, [_row(each) for each in found])
    else:
        screen.line("There are no files yet. `forge files put PATH` gives one.")
    return Exit.DONE


def _row(file: FileLine) -> tuple[str, ...]:
    made = f"{file.created_at.astimezone():%Y-%m-%d %H:%M}"
    return file.id, made, words.size(file.size), file.kind, str(file.version), file.name


async def get(
    settings: Settings, screen: Screen, files: Sequence[str], out: Path, *, as_json: bool
) -> Exit:
    """Put files into a folder, under names that are free; the first that fails ends it."""
    folder, code = OutFolder(out), Exit.DONE
    folder.check()
    with tempfile.TemporaryDirectory(prefix="forge-") as name:
        kept = Path(name) / "file"
        async with linked(settings, screen, asking=False) as link:
            for text in files:
                line = await link.client.files.find(text)
                await link.client.files.get(line, kept)
                asked = ArtifactSaved(step=0, name=line.name, size=line.size, sha256=line.sha256)
                (written,) = await asyncio.to_thread(folder.write, (asked,), lambda _: kept)
                kept.unlink()
                if written.error is not None:
                    screen.error(written.error)
                    code = of_error(type(written.error))
                elif as_json:
                    said = {**line.model_dump(mode="json"), "path": str(written.path)}
                    screen.raw_json(json.dumps(said))
                else:
                    screen.line(f"→ {written.path} ({words.size(line.size)}, {line.sha256})")
    return code


async def put(
    settings: Settings, screen: Screen, paths: Sequence[Path], conversation: str, *, as_json: bool
) -> Exit:
    """Give files."""
    given = uploads(paths)
    async with linked(settings, screen, asking=False) as link:
        inside = await link.client.talks.find(conversation) if conversation else ""
        for each in given:
            line = await give(link.client, each, inside)
            if as_json:
                screen.raw_json(line.model_dump_json(ensure_ascii=True))
            else:
                screen.line(f"{line.id}  {line.name} ({words.size(line.size)}, {line.sha256})")
    return Exit.DONE
