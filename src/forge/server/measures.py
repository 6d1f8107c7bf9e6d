"""What is measured while the server runs, in Prometheus's words; a registry of its own per app.

Names end in their unit. Labels are routes' patterns and statuses, never ids or text of a person.
"""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Measures:
    """The server's counters. `others` are registries whose counters are shown with them."""

    def __init__(self, *others: CollectorRegistry) -> None:
        self.registry, self._others = CollectorRegistry(), others
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._open = Gauge(
            "forge_runs_open", "Runs that are not over, of all servers.", registry=self.registry
        )
        self._machines = Gauge(
            "forge_machines", "Machines of this server.", ("state",), registry=self.registry
        )
        self._pool = Gauge(
            "forge_machines_warm",
            "Machines that wait to be taken.",
            ("template",),
            registry=self.registry,
        )
        self._requests = Counter(
            "forge_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "forge_http_request_seconds",
            "How long answers took, streams included.",
            ("method", "route"),
            registry=self.registry,
        )
        self.streams = Gauge(
            "forge_streams", "Event streams that are open.", registry=self.registry
        )
        self.dropped = Counter(
            "forge_streams_dropped",
            "Streams ended because their reader was too slow.",
            registry=self.registry,
        )
        self.runs = Counter("forge_runs_started", "Runs started.", registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def now(self, open_runs: int, machines: Mapping[str, int], warm: Mapping[str, int]) -> None:
        """Note what there is at this moment: machines by state, warm ones by template."""
        self._open.set(open_runs)
        for gauge, counts in ((self._machines, machines), (self._pool, warm)):
            gauge.clear()
            for label, count in counts.items():
                gauge.labels(label).set(count)

    def page(self) -> bytes:
        """What Prometheus reads."""
        return b"".join(map(generate_latest, (self.registry, *self._others)))
