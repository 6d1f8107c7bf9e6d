"""The terminal's commands about runs, conversations and files, at a real server over real HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asking import asked
from forge.cli import again, chains, filing, history
from forge.cli.exits import Exit
from forge.cli.limits import NO_LIMITS, Limits
from forge.cli.link import linked
from forge.cli.render import Screen
from forge.cli.talks import at_desk
from forge.errors import InputRefused, LedgerCorrupt, RunNotFound, RunOver, SettingsInvalid
from forge.settings import Settings
from forge.testing.providers.script import Reply, Say, UseTool
from forge.testing.providers.server import serve_provider
from served import Served, served
from terminals import House, house_in

CODE = "```python\nprint('albatross')\nopen('made.txt', 'w').write('made')\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "server") as server:
        yield server


@pytest.fixture
def settings(server: Served, tmp_path: Path) -> Settings:
    return at(server.url, tmp_path)


def at(url: str, folder: Path, **more: str) -> Settings:
    return Settings(FORGE_HOME=folder / "here", FORGE_SERVER=url, **more)  # type: ignore[arg-type]


async def ran(server: Served, message: str = CODE) -> dict[str, Any]:
    async with server.client() as client:
        accepted, _ = await asked(client, message)
    return dict(accepted)


async def test_runs_are_listed_shown_asked_again_and_compared(
    server: Served, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """By the beginning of an id too; what is said of the two is what the ledger has."""
    first = await ran(server)
    run_id = first["run_id"]
    assert await history.list_runs(settings, Screen(), 5, as_json=True) is Exit.DONE
    assert json.loads(capsys.readouterr().out)["id"] == run_id
    await history.show_run(settings, Screen(), run_id[4:24], as_json=False)
    shown = capsys.readouterr().out
    for words in ("│ albatross\n", "made.txt", "chain verified", "forge runs export"):
        assert words in shown
    code = await again.rerun(
        settings, Screen(), run_id, "", NO_LIMITS, tmp_path / "out", as_json=True
    )
    assert code is Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    other = json.loads(lines[0])["run_id"]
    assert other != run_id
    assert (tmp_path / "out" / "made.txt").read_text() == "made"
    await again.compare(settings, Screen(), run_id, other, as_json=False)
    compared = capsys.readouterr().out
    assert "Code: the same" in compared
    assert run_id in compared
    assert other in compared
    with pytest.raises(RunNotFound):
        await history.show_run(settings, Screen(), "../../etc", as_json=False)
    with pytest.raises(RunOver):
        await again.resume(settings, Screen(), run_id, Limits(iterations=9), None, as_json=True)


async def test_an_exported_run_is_checked_without_a_server(
    server: Served, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """As the ledger has it; a word that was changed, a line left out and another run are found."""
    run_id = (await ran(server))["run_id"]
    file = tmp_path / "run.jsonl"
    assert await chains.export(settings, Screen(), run_id, file, tmp_path / "files") is Exit.DONE
    assert (tmp_path / "files" / "made.txt").read_text() == "made"
    with pytest.raises(InputRefused, match="there already"):
        await chains.export(settings, Screen(), run_id, file, None)
    assert await chains.verify_file(Screen(), file, run_id) is Exit.DONE
    assert "whole to its end" in capsys.readouterr().out
    lines = file.read_text().splitlines(keepends=True)
    for wrong in (
        "".join(lines).replace("albatross", "albatros"),
        "".join(lines[1:]),
        "".join(lines[:3] + lines[4:]),
        "".join([*lines[:2], lines[3], lines[2], *lines[4:]]),
    ):
        file.write_text(wrong)
        with pytest.raises(LedgerCorrupt):
            await chains.verify_file(Screen(), file, "")
    for wrong in ("", "[]\n", "no json\n", "[" * 100_000):
        file.write_text(wrong)
        with pytest.raises(InputRefused):
            await chains.verify_file(Screen(), file, "")


async def test_conversations_are_kept_from_the_terminal(
    server: Served, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """Found, shown, renamed, forked and removed."""
    first = await ran(server)
    talk = first["conversation_id"]

    def said() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    async with at_desk(settings, Screen(), as_json=True) as desk:
        await desk.list(5, "albatross")
        assert [each["id"] for each in said()] == [talk]
        await desk.list(5, "penguin")
        assert said() == []
        await desk.rename(talk[:20], "Birds")
        await desk.show(talk)
        renamed, shown = said()
        assert (renamed["title"], shown["title"]) == ("Birds", "Birds")
        assert [each["role"] for each in shown["messages"]] == ["user", "assistant"]
        await desk.fork(talk, shown["messages"][0]["id"], machine=False)
        (fork,) = said()
        assert fork["id"] != talk
        with pytest.raises(InputRefused, match="for good"):
            await desk.delete(fork["id"], sure=False)
        await desk.delete(fork["id"], sure=True)
        said()
        await desk.list(5)
        assert [each["id"] for each in said()] == [talk]
        with pytest.raises(InputRefused):
            await desk.show("")


async def test_a_conversation_is_shared_and_taken_away(
    server: Served, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """The link shows it until it is revoked; the file is a new one."""
    talk = (await ran(server))["conversation_id"]
    async with at_desk(settings, Screen(), as_json=True) as desk:
        await desk.share(talk)
        link = json.loads(capsys.readouterr().out)
        async with server.client() as nobody:
            token = link["url"].partition("#")[2]
            assert (await nobody.get(f"/api/shared/{token}")).status_code == 200
            await desk.unshare(talk, "")
            assert (await nobody.get(f"/api/shared/{token}")).status_code == 404
        assert json.loads(capsys.readouterr().out)["revoked"] is True
        await desk.export(talk, "ipynb", tmp_path / "talk.ipynb")
        assert json.loads((tmp_path / "talk.ipynb").read_text())["nbformat"] == 4
        with pytest.raises(InputRefused):
            await desk.export(talk, "pdf", None)


async def test_files_are_given_listed_and_fetched(
    server: Served, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """Their digests hold both ways; what is there already is not overwritten."""
    talk = (await ran(server))["conversation_id"]
    mine = tmp_path / "mine.txt"
    mine.write_text("given")
    await filing.put(settings, Screen(), [mine], talk, as_json=True)
    kept = json.loads(capsys.readouterr().out)
    assert (kept["name"], kept["conversation_id"]) == ("mine.txt", talk)
    await filing.list_files(settings, Screen(), talk, 5, as_json=False)
    listed = capsys.readouterr().out
    assert "mine.txt" in listed
    assert "made.txt" in listed
    for name in ("mine.txt", "mine-2.txt"):
        folder = tmp_path / "got"
        code = await filing.get(settings, Screen(), [kept["id"]], folder, as_json=True)
        assert code is Exit.DONE
        assert json.loads(capsys.readouterr().out)["path"] == str(folder / name)
        assert (folder / name).read_text() == "given"


async def test_a_key_is_not_sent_where_others_can_read_it(tmp_path: Path):
    """Refused before anything is sent; allowed in words it goes, and that is said."""
    far = {"FORGE_API_KEY": "fgk_secret"}
    with pytest.raises(SettingsInvalid, match="nothing was sent") as refused:
        async with linked(at("http://forge.example", tmp_path, **far), Screen(), asking=False):
            pytest.fail("it was opened")
    assert "fgk_secret" not in str(refused.value)
    allowed = at("http://forge.example", tmp_path, **far, FORGE_PLAIN_HTTP="allow")
    async with linked(allowed, Screen(), asking=False) as link:
        assert link.client


def test_a_run_goes_on_after_its_cap_in_a_process_of_its_own(tmp_path: Path):
    """Whole processes and no server: stopped by a cap, refused without a higher one, gone on with
    under one; the ledger of the home is whole, and the chat goes on where it was.
    """
    house: House = house_in(tmp_path)
    script = [
        Reply([UseTool("run_python", {"code": "print('first')"})]),
        Reply([Say("Done now.")]),
        Reply([Say("Hello again.")]),
    ]
    with serve_provider(script) as provider:
        house.environment |= {
            "ANTHROPIC_API_KEY": provider.key,
            "ANTHROPIC_BASE_URL": provider.anthropic_url,
        }
        limit = ("--route", "agent", "--max-iterations", "1")
        first = json.loads(house.forge("run", "Do it", *limit, "--json", code=5).out.split("\n")[0])
        run_id, talk = first["run_id"], first["event"]["conversation_id"]
        assert "higher" in house.forge("runs", "resume", run_id, code=2).err
        said = house.forge("runs", "resume", run_id[:20], "--max-iterations", "5")
        assert "Done now." in said.out
        house.forge("chat", "--conversation", talk[:20], "--route", "chat", given="Hi\n/quit\n")
        assert provider.refusals == []
    assert "2 runs, every chain verified." in house.forge("runs", "verify").out
