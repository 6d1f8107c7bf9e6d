"""What one prefers counts for one's runs, and what cannot be had is said."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from asking import asked, followed
from forge.errors import NameUnknown
from forge.models.offline import OfflineModel
from forge.runs.wish import RunWish
from forge.settings import ModelChoice, Settings
from forge.store.tables import RUNS
from forge.testing.sandbox import LocalProvider
from forge.wiring import Models
from running import house
from served import served


async def prefer(client: Any, **wanted: Any) -> Any:
    answer = await client.patch("/api/settings", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_run_has_the_model_and_the_limits_that_its_person_prefers(tmp_path: Path):
    """Its own words go before them, one by one; the small model is kept for it too."""
    async with served(tmp_path) as server, server.client() as client:
        await prefer(client, max_iterations=3, max_usd="0.5", small_model="offline")
        begun, _ = await asked(client, "```\n1\n```")
        first = (await followed(client, begun["run_id"], 0))[0]["event"]
        assert (first["caps"]["iterations"], first["caps"]["usd"]) == (3, "0.5")
        assert first["small_model"] == "offline"
        begun, _ = await asked(client, "```\n1\n```", caps={"iterations": 2})
        first = (await followed(client, begun["run_id"], 0))[0]["event"]
        assert (first["caps"]["iterations"], first["caps"]["usd"]) == (2, "0.5")


@pytest.mark.parametrize("mode", ["auto", "local", "strict"])
async def test_machines_of_this_computer_serve_whoever_wants_them_here(tmp_path: Path, mode: str):
    """`strict` is no obstacle where nothing would have to be fallen back on."""
    async with served(tmp_path) as server, server.client() as client:
        await prefer(client, provider_mode=mode)
        _, records = await asked(client, "```\n1\n```")
        assert records[-1]["event"]["status"] == "done"


async def test_who_wants_machines_elsewhere_is_told_that_there_are_none(tmp_path: Path):
    """Before anything is made or said, for runs and for machines alike."""
    async with served(tmp_path) as server, server.client() as client:
        talk = (await client.post("/api/conversations", json={})).json()["id"]
        await prefer(client, provider_mode="remote")
        for answer in (
            await client.post("/api/chat", json={"message": "hello", "conversation_id": talk}),
            await client.post(f"/api/sandbox/{talk}/start"),
            await client.post(f"/api/sandbox/{talk}/restart"),
            await client.get(f"/api/sandbox/{talk}/files"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "preference_unmet")
            assert "provider_mode" in answer.json()["detail"]
        shown = (await client.get(f"/api/conversations/{talk}")).json()
        assert shown["messages"] == []
        assert server.home.provider.made == []


class Elsewhere(LocalProvider):
    """Named as the provider whose machines are another computer's."""

    @property
    def name(self) -> str:
        return "worker"


@pytest.mark.parametrize(("mode", "status"), [("remote", 200), ("strict", 409), ("local", 409)])
async def test_a_workers_machines_are_elsewhere(tmp_path: Path, mode: str, status: int):
    """Who insists on this computer is not sent away from it."""
    async with (
        served(tmp_path, provider=Elsewhere()) as server,
        server.client() as client,
    ):
        await prefer(client, provider_mode=mode)
        assert (await client.post("/api/chat", json={"message": "hello"})).status_code == status


@pytest.mark.parametrize(
    "wanted", [{"egress": "allowlist"}, {"egress_allow": ["pypi.example"]}, {"plan": "gold"}]
)
async def test_what_nothing_would_obey_is_not_kept(tmp_path: Path, wanted: dict[str, Any]):
    """Nobody believes that machines reach the hosts they listed; unsetting is always possible."""
    async with served(tmp_path) as server, server.client() as client:
        for place in ("/api/settings", "/api/admin/settings"):
            answer = await client.patch(place, json={**wanted, "max_iterations": 3})
            assert (answer.status_code, answer.json()["code"]) == (409, "preference_unmet")
            assert next(iter(wanted)).split("_")[0] in answer.json()["detail"]
            unset = await client.patch(place, json=dict.fromkeys(wanted))
            assert unset.status_code == 200
        shown = (await client.get("/api/settings")).json()
        assert shown["counts"]["max_iterations"] is None
        assert shown["enforced"] == {"provider": "local", "place": "local", "egress": "none"}


class Named(OfflineModel):
    """A model of somebody's, which could be asked for words by another's."""

    name = "openai:made-up"


@pytest.mark.parametrize("name", ["model", "small_model"])
async def test_a_model_that_there_is_not_is_refused_before_the_run(tmp_path: Path, name: str):
    """The usual and the small one alike: none runs on another in its place, none begins."""
    settings = Settings(FORGE_HOME=tmp_path)  # type: ignore[call-arg]
    choice = ModelChoice("openai", "made-up", "for the tests")
    of = Models(settings, Named(), choice).of
    async with house(tmp_path, model_of=of) as home:
        with pytest.raises(NameUnknown, match="nobody"):
            await home.service.submit(RunWish(prompt="hello", **{name: "nobody:knows"}))
        async with home.database.reading() as connection:
            assert (await connection.execute(select(RUNS))).all() == []
