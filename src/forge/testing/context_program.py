"""The program of a `LocalSandbox` code context: cells in, what happened out, as JSON lines.

Each line in is a JSON string, the cell's source. Lines out are `[kind, value]`: `stdout` and
`stderr` with base64 bytes, `display` with a MIME bundle, and `end` with the status and the error.
"""

import ast
import base64
import ctypes
import io
import json
import signal
import sys
import traceback
from typing import Any, TextIO

WIRE: TextIO = sys.stdout
_PR_SET_PDEATHSIG = 1


def send(kind: str, value: Any) -> None:
    """Write one line."""
    WIRE.write(json.dumps([kind, value]) + "\n")
    WIRE.flush()


class Stream(io.TextIOBase):
    """What a cell sees as its standard output or error."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def write(self, text: str) -> int:
        """Send it on at once."""
        send(self._kind, base64.b64encode(text.encode("utf-8", "surrogateescape")).decode())
        return len(text)


def run(source: str, names: dict[str, Any]) -> None:
    """Run a cell; the value of its last expression is displayed."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102 - this is what it is for
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # noqa: S307 - as above
        bundle = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else None
        if value is not None:
            send("display", bundle or {"text/plain": repr(value)})


def main() -> None:
    """Answer cells until the input ends, or whoever started this is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    names: dict[str, Any] = {"__name__": "__main__"}
    sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
    for line in sys.stdin:
        try:
            run(json.loads(line), names)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a cell raises is a result
            send("end", ["error", [type(error).__name__, str(error), traceback.format_exc()]])
        else:
            send("end", ["ok", None])


if __name__ == "__main__":
    main()
