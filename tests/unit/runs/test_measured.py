"""What is counted of runs, for whoever watches a server."""

from pathlib import Path

from forge.models.anthropic import AnthropicModel
from forge.runs.measured import MOST_MODELS, RunMeasures
from forge.runs.wish import RunWish
from forge.testing.providers.script import Reply, Say, UseTool
from forge.testing.providers.server import scripted_provider
from running import house

MODEL = "claude-sonnet-5-5"


async def test_a_runs_calls_tokens_cost_and_time_are_counted_by_model(tmp_path: Path):
    """As its ledger has them; a run that goes on counts as here, and one that ended does not."""
    script = [
        Reply([UseTool("run_python", {"code": "print(1)"})]),
        Reply([UseTool("run_python", {"code": "1 / 0"})]),
        Reply([Say("done")]),
    ]
    async with scripted_provider(script) as server:
        model = AnthropicModel(MODEL, server.key, server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            records = await home.run(RunWish("go"))
            totals = (await home.settled(records[0].run_id)).totals
        await model.close()

    def value(name: str, **labels: str) -> float | None:
        return home.measures.registry.get_sample_value(f"forge_{name}", labels)

    name = f"anthropic:{MODEL}"
    assert value("runs_finished_total", status="done") == 1
    assert value("runs_here") == 0
    assert value("model_calls_total", model=name, outcome="ok") == 3
    assert value("model_call_seconds_count", model=name) == 3
    for kind in ("input", "output"):
        tokens = getattr(totals.usage, f"{kind}_tokens")
        assert value("model_tokens_total", model=name, kind=kind) == tokens > 0
    assert totals.usd
    assert round(value("model_cost_usd_total", model=name) or 0, 9) == round(float(totals.usd), 9)
    assert value("tool_calls_total", outcome="ok") == 1
    assert value("tool_calls_total", outcome="error") == 1
    assert value("ledger_append_seconds_count") == len(records) - 1  # the first begins the ledger


async def test_a_call_that_failed_is_counted_by_its_code(tmp_path: Path):
    """Whoever watches sees a key that is not right any more."""
    async with scripted_provider([]) as server:
        model = AnthropicModel(MODEL, "wrong-key-000000", server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            await home.run(RunWish("go"))
        await model.close()
    labels = {"model": f"anthropic:{MODEL}", "outcome": "model_unauthorized"}
    assert home.measures.registry.get_sample_value("forge_model_calls_total", labels) == 1


def test_nobody_fills_the_monitoring_with_names_of_models():
    """Those that come after the first ones are counted together."""
    measures = RunMeasures()
    names = [measures.label(f"openai:{number}") for number in range(MOST_MODELS + 3)]
    assert names[-3:] == ["other"] * 3
    assert len(set(names)) == MOST_MODELS + 1
    assert measures.label("openai:0") == "openai:0"
