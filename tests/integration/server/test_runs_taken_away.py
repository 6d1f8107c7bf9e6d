"""A run's bundle and its chain over HTTP, checked as somebody would who has no Forge; and the list
of runs, narrowed.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import rfc8785
from sqlalchemy import text, update

from asking import asked
from forge.store.tables import EVENTS
from served import Served, served

pytestmark = pytest.mark.usefixtures("either_database")

MAKE = "```python\nopen('plot.txt', 'w').write('data')\nprint(6 * 7)\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


async def test_a_bundle_proves_itself(server: Served):
    """Every line's hash follows from the line and the one before; the manifest has the last of
    them, and the digest of every file that there is.
    """
    async with server.client() as client:
        given = (await client.post("/api/upload?name=in.csv", content=b"a,b")).json()
        accepted, records = await asked(client, MAKE, files=[given["id"]])
        place = f"/api/runs/{accepted['run_id']}"
        answer = await client.get(f"{place}/export")
        verdict = (await client.get(f"{place}/verify")).json()
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
        assert read.testzip() is None
        files = {name: read.read(name) for name in read.namelist()}
    assert set(files) == {"ledger.jsonl", "artifacts/plot.txt", "given/in.csv", "manifest.json"}
    prev, lines = "", files["ledger.jsonl"].splitlines()
    for line in lines:
        record = json.loads(line)
        said = record.pop("hash")
        assert record["prev"] == prev
        prev = hashlib.sha256(rfc8785.dumps(record)).hexdigest()
        assert said == prev
    assert [json.loads(line) for line in lines] == records
    manifest = json.loads(files["manifest.json"])
    assert (manifest["head"], manifest["records"]) == (prev, len(lines))
    for each in manifest["files"]:
        content = files[each["path"]]
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert each["size"] == len(content)
    assert len(manifest["files"]) == 3
    assert verdict == {
        "run_id": accepted["run_id"],
        "intact": True,
        "records": len(lines),
        "head": prev,
        "broken_at": None,
        "why": None,
    }


async def test_a_changed_record_is_found_and_not_taken_away(server: Served):
    """The verdict says which; the bundle is refused, as what it would prove is not so."""
    async with server.client() as client:
        accepted, _ = await asked(client, MAKE)
        place = f"/api/runs/{accepted['run_id']}"
        where = "" if server.home.database.dialect == "sqlite" else " ON events"
        async with server.home.database.writing() as connection:
            await connection.execute(text(f"DROP TRIGGER events_no_update{where}"))
            await connection.execute(
                update(EVENTS)
                .where(EVENTS.c.run_id == accepted["run_id"], EVENTS.c.seq == 3)
                .values(body=EVENTS.c.body + " ")
            )
        verdict = (await client.get(f"{place}/verify")).json()
        assert (verdict["intact"], verdict["broken_at"]) == (False, 3)
        assert "Record 3" in verdict["why"]
        refused = await client.get(f"{place}/export")
        assert (refused.status_code, refused.json()["code"]) == (503, "ledger_corrupt")


async def test_the_list_of_runs_is_narrowed(server: Served):
    """By state, model, conversation, time and words; what nobody can mean is refused."""
    async with server.client() as client:
        first, _ = await asked(client, "```python\nprint('Größe 100%')\n```")
        second, _ = await asked(client, "```python\nprint('other')\n```")

        async def listed(**wanted: str) -> list[str]:
            answer = await client.get("/api/runs", params=wanted)
            assert answer.status_code == 200, answer.text
            return [each["id"] for each in answer.json()["items"]]

        both = [second["run_id"], first["run_id"]]
        assert await listed() == both
        assert await listed(status="done", model="offline:none") == both
        assert await listed(status="running") == await listed(model="x") == []
        assert await listed(conversation_id=first["conversation_id"]) == both[1:]
        assert await listed(query="  größe 100% ") in (both[1:], [])  # SQLite folds ASCII alone
        assert await listed(query="Größe 100%") == await listed(query="100%") == both[1:]
        assert await listed(query="OTHER') ") == both[:1]
        assert await listed(query="_ther") == []
        assert await listed(since="2000-01-01T00:00:00Z", until="2999-01-01T00:00:00Z") == both
        assert await listed(since="2999-01-01T00:00:00Z") == []
        assert await listed(until="2000-01-01T00:00:00+14:00") == []
        for wrong in ({"status": "odd"}, {"since": "0001-01-01T00:00:00+14:00"}, {"since": "x"}):
            assert (await client.get("/api/runs", params=wrong)).status_code == 422
