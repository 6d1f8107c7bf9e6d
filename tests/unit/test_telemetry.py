"""Runs' spans, as a real collector receives them over OTLP/HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forge.events import Record, ToolStarted
from forge.models.anthropic import AnthropicModel
from forge.runs.spans import tracing
from forge.runs.wish import RunWish
from forge.settings import Settings
from forge.telemetry import open_spans
from forge.testing.providers.script import Reply, Say, UseTool
from forge.testing.providers.server import scripted_provider
from running import house

SCRIPT = [
    Reply([Say("wombat words"), UseTool("run_python", {"code": "print('wombat printed')"})]),
    Reply([UseTool("run_python", {"code": "raise ValueError('wombat raised')"})]),
    Reply([Say("The wombat is done.")]),
]
MODEL = "claude-sonnet-5-5"
WORD = b"wombat"
"""In everything that anybody said, wrote or printed."""


@dataclass
class Collector:
    """What was received: bodies as they came, their headers and paths."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def spans(self) -> list[Any]:
        """Every span, in the order of their beginnings."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, span.name != ROOT))


ROOT = "invoke_agent forge"


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a port of its own."""
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            received.paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(span: Any) -> dict[str, Any]:
    """A span's attributes."""
    values = {each.key: each.value for each in span.attributes}
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


async def traced(folder: Path, **settings: str) -> tuple[Record, ...]:
    """A run with two tool calls, the second of which fails, with its spans sent."""
    async with (
        open_spans(Settings(FORGE_HOME=folder, **settings)) as watch,  # type: ignore[arg-type]
        scripted_provider(SCRIPT) as server,
    ):
        model = AnthropicModel(MODEL, server.key, server.anthropic_url)
        async with house(folder, model=model, watch=watch) as home:
            records = await home.run(RunWish("Where is the wombat?"))
        await model.close()
    return tuple(records)


async def test_a_run_is_spans_of_agent_calls_and_tools_without_a_word_of_anybody(tmp_path: Path):
    """Names, parents, tokens, cost and errors in the conventions' words; the headers are sent."""
    with collector() as received:
        records = await traced(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"{received.url}/base/",
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20let-me-in,x-team=forge",
        )
    root, *inner = received.spans()
    assert set(received.paths) == {"/base/v1/traces"}
    assert received.headers[0]["authorization"] == "Bearer let-me-in"
    assert received.headers[0]["x-team"] == "forge"
    names = [f"chat {MODEL}", "execute_tool run_python"]
    assert [root.name, *(span.name for span in inner)] == [ROOT, *names, *names, names[0]]
    assert {span.parent_span_id for span in inner} == {root.span_id}
    assert {span.trace_id for span in inner} == {root.trace_id}

    run, chat, tool, broken = said(root), said(inner[0]), said(inner[1]), said(inner[3])
    assert (run["gen_ai.operation.name"], chat["gen_ai.operation.name"]) == ("invoke_agent", "chat")
    assert chat["gen_ai.provider.name"] == "anthropic"
    assert chat["gen_ai.request.model"] == MODEL
    assert chat["gen_ai.response.finish_reasons"].values[0].string_value == "tool_use"
    assert chat["gen_ai.usage.input_tokens"] > 0
    tokens = [said(span)["gen_ai.usage.output_tokens"] for span in inner if span.name == names[0]]
    assert run["gen_ai.usage.output_tokens"] == sum(tokens) > 0
    assert run["gen_ai.usage.cost"] >= chat["gen_ai.usage.cost"] > 0
    assert (run["forge.run.id"], run["forge.run.status"]) == (records[0].run_id, "done")
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.type"]) == ("run_python", "function")
    assert ("error.type" in tool, broken["error.type"]) == (False, "error")
    begun = int(records[0].at.timestamp() * 1_000_000) * 1000
    assert begun <= root.start_time_unix_nano <= inner[0].start_time_unix_nano
    assert root.end_time_unix_nano == int(records[-1].at.timestamp() * 1_000_000) * 1000
    assert not any(WORD in body for body in received.bodies)


async def test_words_are_in_spans_where_they_are_asked_for(tmp_path: Path):
    """Prompt, answers, code and results, each in its place."""
    with collector() as received:
        await traced(
            tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=received.url, FORGE_TRACE_CONTENT="always"
        )
    root, chat, tool, *_ = map(said, received.spans())
    assert "Where is the wombat?" in root["gen_ai.input.messages"]
    assert "The wombat is done." in root["gen_ai.output.messages"]
    assert "wombat words" in chat["gen_ai.output.messages"]
    assert "print(" in tool["gen_ai.tool.call.arguments"]
    assert "wombat printed" in tool["gen_ai.tool.call.result"]


async def test_a_run_does_not_mind_a_collector_that_is_not_there(tmp_path: Path):
    """Its spans are lost, and nothing else."""
    with collector() as gone:
        pass
    records = await traced(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=gone.url)
    assert records[-1].event.type == "run.finished"


async def test_what_this_process_did_not_see_the_end_of_says_so(tmp_path: Path):
    """A run that is left open in the middle of a tool call; and who takes it up begins anew."""
    records = await traced(tmp_path)
    middle = next(i for i, each in enumerate(records) if isinstance(each.event, ToolStarted))
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watch = tracing(provider.get_tracer("test"))
    for first, last in ((1, middle + 1), (middle + 1, len(records))):
        watcher = watch(records[:first])
        for record in records[first:last]:
            watcher.saw(record, 0.0)
        watcher.left()
    spans = exporter.get_finished_spans()
    left = [(span.name, span.attributes.get("error.type")) for span in spans[:3]]
    assert left[1:] == [("execute_tool run_python", "left_open"), (ROOT, "left_open")]
    roots = [span.attributes for span in spans if span.name == ROOT]
    assert [root["forge.run.resumed"] for root in roots] == [False, True]
    assert len({root["forge.run.id"] for root in roots}) == 1
    assert roots[1]["forge.run.status"] == "done"
