"""Runs' spans on their way to a collector, over OTLP; the only room that knows OpenTelemetry's SDK.

The SDK is an extra (`otel`) and is looked for where spans are wanted. Spans are sent from a thread
of its own, in batches, and thrown away where the collector does not take them: a run never waits
for it. At the end what is left has `END_S` seconds to go out.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from forge import __version__
from forge.errors import SettingsInvalid
from forge.runs.watching import Watch, nobody
from forge.settings import Settings

LOG = logging.getLogger(__name__)

END_S = 3.0
"""How long the last spans may take to go out; a server has seconds to end in."""

_SEND_S = 2.0
"""How long one batch may take."""


@asynccontextmanager
async def open_spans(settings: Settings) -> AsyncIterator[Watch]:
    """Who watches runs by sending their spans to the collector of the settings, until the block is
    left. Without one nobody watches.

    Raises:
        SettingsInvalid: Forge is not installed with its extra `otel`.
    """
    if not settings.otlp_endpoint:
        yield nobody
        return
    try:
        # A tenth of a second that most have no use for.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.util.re import parse_env_headers
    except ImportError as error:
        raise SettingsInvalid(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and Forge is not installed with its extra `otel`.",
            hint="Install it with `uv sync --extra otel`, or `pip install 'forge-microvm[otel]'`.",
        ) from error
    from forge.runs.spans import tracing

    exporter = OTLPSpanExporter(
        endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces",
        headers=parse_env_headers(settings.otlp_headers.get_secret_value(), liberal=True),
        timeout=_SEND_S,
    )
    processor = BatchSpanProcessor(exporter)
    resource = Resource.create({"service.name": "forge", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    try:
        content = settings.trace_content == "always"
        yield tracing(provider.get_tracer("forge", __version__), content=content)
    finally:
        if not await _ended(processor.shutdown):
            exporter.shutdown()  # type: ignore[no-untyped-call]


async def _ended(shutdown: Callable[[], None]) -> bool:
    """Let what is left go out, and say whether it did in time: a thread that waits for a dead
    collector cannot be cancelled, so it is left behind, and no one waits for it.
    """
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        shutdown()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=end, name="spans", daemon=True).start()
    try:
        async with asyncio.timeout(END_S):
            await over.wait()
    except TimeoutError:
        LOG.warning("the collector did not take the last spans within %s s", END_S)
        return False
    return True
