"""Numbers as people read them: durations, sizes, money, counts. Pure."""

from decimal import Decimal

from forge.events import RunRouted, Totals
from forge.usage import Usage

_STEP = 1000
_MINUTE_S = 60
_EXACT_BELOW_S = 10


def duration(seconds: float) -> str:
    """`87 ms`, `2.31 s`, `41 s`, `3 min 5 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _EXACT_BELOW_S:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    return f"{minutes} min {rest} s"


def way(routed: RunRouted) -> str:
    """Which way a run is answered, and why."""
    how = {
        "chat": f"Answered in words by {routed.model}",
        "agent": "Done with tools",
        "pipeline": "Done by blocks that are run for the model",
        "offline": "Nobody is asked",
    }.get(routed.path, routed.path)
    return f"{how}: {routed.reason}"


def size(count: int) -> str:
    """`512 B`, `12 kB`, `3.4 MB`: powers of ten, as disks are sold and files are listed."""
    if count < _STEP:
        return f"{count} B"
    power = min(3, (len(str(count)) - 1) // 3)
    value, unit = count / _STEP**power, ("", "kB", "MB", "GB")[power]
    return f"{value:.1f} {unit}" if value < _EXACT_BELOW_S else f"{value:.0f} {unit}"


def plural(number: int, noun: str) -> str:
    """`1 step`, `2 steps`, `1,204 tokens`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money(usd: Decimal | None) -> str:
    """`$0.0123`; what has no known price says so."""
    if usd is None:
        return "cost unknown"
    if usd == 0:
        return "$0"
    return f"${usd:.4f}" if usd >= Decimal("0.0001") else "under $0.0001"


def tokens(usage: Usage) -> str:
    """`1,234 tokens (1,100 in, 134 out)`, with what came from the cache."""
    if usage.total_tokens == 0:
        return "no tokens"
    cached = f", {usage.cache_read_tokens:,} of it cached" if usage.cache_read_tokens else ""
    return (
        f"{plural(usage.total_tokens, 'token')} "
        f"({usage.input_tokens:,} in{cached}; {usage.output_tokens:,} out)"
    )


def totals(whole: Totals) -> str:
    """A run's totals on one line."""
    return " · ".join(
        (
            duration(whole.wall_s),
            plural(whole.iterations, "model call"),
            plural(whole.tool_calls, "tool call"),
            tokens(whole.usage),
            money(whole.usd),
        )
    )


def sentence(text: str) -> str:
    """A message as a sentence of its own: a capital at the start, a full stop at the end."""
    text = text.strip()
    if not text:
        return "It is not known what happened."
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:`" or "\n" in text else ".")
