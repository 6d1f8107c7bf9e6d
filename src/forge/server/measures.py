"""What is measured while the server runs, in Prometheus's words; a registry of its own per app.

Names end in their unit. Labels are routes' patterns and statuses, never ids or text of a person.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Measures:
    """The server's counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def page(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)
