"""A conversation's real microVM behind the API: kept, rested, copied, and typed into."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from asking import asked
from forge.sandbox.machines.provider import MachineProvider
from served import Served, served

pytestmark = pytest.mark.vm

REMEMBER = "```python\nkept = 41\nopen('note', 'w').write('here')\n```"
RECALL = "```python\nprint(kept + 1, open('note').read())\n```"


@pytest.fixture
async def server(tmp_path: Path, qemu_provider: MachineProvider) -> AsyncIterator[Served]:
    async with served(tmp_path, provider=qemu_provider) as server:
        yield server


def printed(records: list) -> str:
    """What a run's code printed."""
    return "".join(r["event"]["text"] for r in records if r["event"]["type"] == "tool.output")


async def test_a_machine_is_kept_between_messages_rested_and_made_anew(server: Served):
    """Variables and files are there in the next message and after a pause; a new machine has what
    was kept as artifacts, and no variables.
    """
    async with server.client() as client:
        client.timeout = 200
        accepted, _ = await asked(client, REMEMBER)
        talk = {"conversation_id": accepted["conversation_id"]}
        base = f"/api/sandbox/{accepted['conversation_id']}"
        assert (await client.get(base)).json()["state"] == "running"
        assert printed((await asked(client, RECALL, **talk))[1]) == "42 here\n"
        assert (await client.post(f"{base}/pause")).json()["state"] == "paused"
        assert printed((await asked(client, RECALL, **talk))[1]) == "42 here\n"
        assert (await client.post(f"{base}/stop")).json()["state"] == "none"
        anew = "```python\nprint('kept' in globals(), open('note').read())\n```"
        assert printed((await asked(client, anew, **talk))[1]) == "False here\n"
        before = (await client.get(base)).json()["id"]
        assert (await client.post(f"{base}/restart")).json()["id"] != before


async def test_files_are_listed_read_and_written_while_nothing_runs(server: Served):
    """And a hostile page in the machine is a download."""
    async with server.client() as client:
        client.timeout = 200
        made = (await client.post("/api/conversations", json={})).json()
        base = f"/api/sandbox/{made['id']}"
        assert (await client.post(f"{base}/start")).json()["state"] == "running"
        content = bytes(range(256)) * 4096
        put = await client.put(f"{base}/files/content?path=in/data.bin", content=content)
        assert put.json() == {"path": "in/data.bin", "size": len(content)}
        read = await client.get(f"{base}/files/content?path=/home/user/in/data.bin")
        assert read.content == content
        assert read.headers["content-disposition"].startswith("attachment")
        listed = (await client.get(f"{base}/files?path=in")).json()["items"]
        assert [(each["path"], each["size"]) for each in listed] == [
            ("/home/user/in/data.bin", len(content))
        ]
        for wrong in ("/nowhere", "/dev/zero", "/proc/kmsg", "in"):
            answer = await client.get(f"{base}/files/content", params={"path": wrong})
            assert 400 <= answer.status_code < 600, wrong
            assert answer.headers["content-type"] == "application/problem+json", wrong


async def test_a_machine_is_measured_and_its_folders_go_home_as_zip(server: Served):
    """Without waking it; links are named in the archive, holes are filled; what is moved, removed
    and made is so.
    """
    async with server.client() as client:
        client.timeout = 200
        work = (
            "```bash\nmkdir -p out/deep && echo one > out/deep/one && truncate -s 3M out/hollow\n"
            "ln -s /etc/passwd out/evil && chmod +x out/deep/one && mkfifo out/pipe\n```"
        )
        accepted, _ = await asked(client, work)
        base = f"/api/sandbox/{accepted['conversation_id']}"
        answer = await client.get(f"{base}/files/archive?format=zip&path=out")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
            assert read.testzip() is None
            assert sorted(read.namelist()) == ["deep/", "deep/one", "hollow", "left-out.txt"]
            assert read.read("hollow") == bytes(3 << 20)
            assert sorted(read.read("left-out.txt").split()) == [b"evil", b"pipe"]
            assert read.getinfo("deep/one").external_attr >> 16 & 0o100
        wanted = {"source": "out/deep/one", "target": "elsewhere/two"}
        assert (await client.post(f"{base}/files/move", json=wanted)).status_code == 200
        assert (await client.delete(f"{base}/files?path=out")).json()["removed"]
        made = await client.post(f"{base}/files/folder", json={"path": "new/folder"})
        assert made.json()["made"]
        listed = (await client.get(f"{base}/files?depth=2")).json()["items"]
        assert {each["path"].removeprefix("/home/user/") for each in listed} >= {
            "elsewhere/two",
            "new/folder",
        }
        assert (await client.delete(f"{base}/files?path=/etc/passwd")).status_code == 422
        used = (await client.get(f"{base}/metrics")).json()
        assert used["cpu_seconds"] > 0
        assert used["memory_rss_bytes"] > 0
        assert 0 < used["disk_used_bytes"] <= used["disk_limit_bytes"]
        await client.post(f"{base}/pause")
        used = (await client.get(f"{base}/metrics")).json()
        assert (used["state"], used["memory_rss_bytes"]) == ("paused", 0)
        assert (await client.get(base)).json()["state"] == "paused"


async def test_a_terminal_is_typed_into_and_ends_with_its_connection(server: Served):
    """Its size is the window's; what it started is gone once the connection is."""
    async with server.client() as client:
        client.timeout = 200
        made = (await client.post("/api/conversations", json={})).json()
        base = f"/api/sandbox/{made['id']}"
        await client.post(f"{base}/start")
        place = f"{server.url.replace('http', 'ws')}{base}/terminal"
        async with websockets.connect(place) as typed:
            await typed.send(json.dumps({"columns": 91, "rows": 33}))
            await typed.send(b"stty size; sleep 4321 & echo $((6 * 7)); exec sleep 4322\n")
            shown = b""
            while b"42" not in shown or b"33 91" not in shown:
                shown += await typed.recv()
        sandbox = await server.hosted.forge.talks.get(made["id"])
        while await sandbox.commands.list():
            pass
        gone = "```bash\npgrep -c sleep || true\n```"
        assert printed((await asked(client, gone, conversation_id=made["id"]))[1]) == "0\n"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_terminal_is_not_opened_by_another_sites_page(server: Served, origin: str):
    """WebSockets are not held back by a browser as requests are."""
    async with server.client() as client:
        made = (await client.post("/api/conversations", json={})).json()
        place = f"{server.url.replace('http', 'ws')}/api/sandbox/{made['id']}/terminal"
        with pytest.raises(websockets.exceptions.WebSocketException):
            async with websockets.connect(place, origin=origin) as typed:
                await typed.recv()
        assert (await client.get(f"/api/sandbox/{made['id']}")).json()["state"] == "none"


async def test_a_fork_takes_the_machine_along_and_each_goes_its_own_way(server: Served):
    """Variables are in both; what one does then, the other does not see. A page that a program in
    it serves can be looked at.
    """
    async with server.client() as client:
        client.timeout = 200
        accepted, _ = await asked(client, REMEMBER)
        base = f"/api/conversations/{accepted['conversation_id']}"
        new = (await client.post(f"{base}/fork", json={"machine": True})).json()["id"]
        change = "```python\nkept = 1\n```"
        await asked(client, change, conversation_id=accepted["conversation_id"])
        assert printed((await asked(client, RECALL, conversation_id=new))[1]) == "42 here\n"
        serve = (
            "```python\nimport subprocess, sys, time, urllib.request\n"
            "subprocess.Popen([sys.executable, '-m', 'http.server', '8000'])\n"
            "for _ in range(200):\n"
            "    try:\n"
            "        print(urllib.request.urlopen('http://127.0.0.1:8000/note').status); break\n"
            "    except OSError: time.sleep(0.1)\n```"
        )
        assert "200" in printed((await asked(client, serve, conversation_id=new))[1])
        shown = await client.get(f"/api/sandbox/{new}/ports/8000/note")
        assert (shown.status_code, shown.text) == (200, "here")
        empty = (await client.post("/api/conversations", json={})).json()["id"]
        wrong = await client.post(f"/api/conversations/{empty}/fork", json={"machine": True})
        assert (wrong.status_code, wrong.json()["code"]) == (404, "machine_unknown")
