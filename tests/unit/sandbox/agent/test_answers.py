"""Whatever a guest answers is a checked value or `Malformed`; nothing else comes out."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forge.errors import FileNotFound, GuestRefused, QuotaExceeded
from forge.sandbox.agent import answers, file_answers
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.code import CodeError, CodeResult
from forge.sandbox.commands import ExecResult
from forge.sandbox.files import FileInfo
from forge.sandbox.output import Display
from forge_guest.wire.channel import StreamReset

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, -(10**400), 2**63, -1, 256, "ok", "error", "file", "/a", "\ud800"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
KEYS = (
    "exit_code", "signal", "timed_out", "duration_ms", "status", "error", "restarted", "size",
    "path", "kind", "mode", "modified", "name", "value", "traceback",
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), anything, max_size=8)

GOOD_EXEC = {"exit_code": 3, "signal": None, "timed_out": False, "duration_ms": 1.5}
GOOD_CODE = {
    "status": "error",
    "duration_ms": 2,
    "error": {"name": "ValueError", "value": "no", "traceback": "…"},
}
GOOD_FILE = {"path": "/a", "kind": "file", "size": 3, "mode": 0o644, "modified": 1.5}


def record(bundle: object) -> bytes:
    payload = json.dumps(bundle).encode()
    return len(payload).to_bytes(4, "big") + payload


@given(objects)
@example({**GOOD_EXEC, "duration_ms": 10**400})
def test_any_answer_to_exec_is_a_result_or_malformed(value):
    """A result says how it ended in exactly one way, in numbers that exist."""
    try:
        result = answers.exec_result(value)
    except Malformed:
        return
    assert (result.exit_code is None) != (result.signal is None)
    assert math.isfinite(result.duration_ms)


@given(st.builds(lambda base, changes: base | changes, st.just(GOOD_CODE), objects))
def test_any_answer_to_code_is_a_result_or_malformed(value):
    """A result has a known status, and an error exactly where its status has one."""
    try:
        result = answers.code_result(value)
    except Malformed:
        return
    assert result.status in ("ok", "error", "timeout", "crashed")
    assert (result.error is None) or result.status != "ok"
    assert result.error or result.status != "error"
    assert math.isfinite(result.duration_ms)


@given(objects)
def test_any_size_is_a_whole_number_or_malformed(value):
    """A size is between nothing and the largest file there can be."""
    try:
        assert 0 <= answers.whole(value, "size") < 2**63
    except Malformed:
        return


@given(st.lists(st.builds(lambda changes: GOOD_FILE | changes, objects), max_size=4))
def test_any_listing_is_entries_or_malformed(entries):
    """Entries have absolute paths, sizes and times that exist, and come sorted."""
    try:
        listed = file_answers.listing(
            b"".join(json.dumps(each).encode() + b"\n" for each in entries)
        )
    except Malformed:
        return
    assert len(listed) == len(entries)
    assert [each.path for each in listed] == sorted(each.path for each in listed)
    for each in listed:
        assert each.path.startswith("/")
        assert each.size >= 0
        assert math.isfinite(each.modified)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_listing_or_malformed(data):
    """A listing that is no lines of JSON objects is refused, not guessed at."""
    try:
        file_answers.listing(data)
    except Malformed:
        return


bundles = st.dictionaries(
    st.sampled_from(["text/plain", "text/html", "image/svg+xml", "application/vnd.x+json"]),
    st.text(max_size=50),
    max_size=3,
)


@given(st.lists(bundles, max_size=5), st.lists(st.integers(0, 600), max_size=6))
def test_displays_survive_any_cutting(shown, cuts):
    """The pieces in which a lane's bytes arrive make no difference."""
    whole = b"".join(record({"data": bundle, "main": False}) for bundle in shown)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    records = answers.Records()
    received = []
    for start, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007 -- plain to read
        received += records.feed(whole[start:end])
    assert received == [Display(bundle) for bundle in shown]


@pytest.mark.parametrize(
    "extra", [{"id": "x" * 129}, {"id": 7}, {"id": None}, {"change": "remove"}, {"change": None}]
)
def test_a_display_in_no_known_place_is_refused(extra):
    """Its id is short text and its change a known one, or the machine lies."""
    told = {"data": {}, "main": False}
    assert answers.Records().feed(record(told | {"id": "x" * 128, "change": "update"}))
    with pytest.raises(Malformed, match="place"):
        answers.Records().feed(record(told | extra))


@given(st.lists(st.binary(max_size=200) | anything.map(record), max_size=4))
def test_any_bytes_on_the_display_lane_are_bundles_or_malformed(pieces):
    """A bundle maps MIME types to text; everything else is refused."""
    records = answers.Records()
    for piece in pieces:
        try:
            shown = records.feed(piece)
        except Malformed:
            return
        for display in shown:
            assert isinstance(display.main, bool)
            for mime, text in display.data.items():
                assert "/" in mime
                assert isinstance(text, str)


def test_a_huge_display_is_refused_at_its_first_four_bytes():
    """Its length alone is enough; nothing of it is waited for."""
    with pytest.raises(Malformed, match="too large"):
        answers.Records().feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "bundle",
    [
        [],
        "text",
        {"text/plain": 1},
        {"text": "no slash"},
        {"text/plain\n": "a line end"},
        {"TEXT/plain": "upper case"},
        {"a/" + "b" * 101: "too long"},
        {"": ""},
        {"text/plain; charset=utf-8": "parameters"},
    ],
)
def test_a_bundle_that_is_none_is_refused(bundle):
    """MIME types are checked whole, and values are text."""
    with pytest.raises(Malformed):
        answers.Records().feed(record(bundle))


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": None},
        {"signal": 9},
        {"exit_code": True},
        {"exit_code": 256},
        {"exit_code": -1},
        {"exit_code": 1.0},
        {"timed_out": None},
        {"timed_out": 1},
        {"duration_ms": math.nan},
        {"duration_ms": math.inf},
        {"duration_ms": -1},
        {"duration_ms": 10**400},
        {"duration_ms": True},
        {"duration_ms": "1"},
    ],
)
def test_a_commands_end_that_is_none_is_refused(changes):
    """Each wrong field alone is enough."""
    assert answers.exec_result(GOOD_EXEC) == ExecResult(3, None, timed_out=False, duration_ms=1.5)
    with pytest.raises(Malformed):
        answers.exec_result(GOOD_EXEC | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "fine"},
        {"status": ["ok"]},
        {"status": None},
        {"status": "ok"},
        {"error": None},
        {"error": "words"},
        {"error": {"name": "E", "value": 1, "traceback": ""}},
        {"error": {"name": "E", "value": ""}},
        {"duration_ms": None},
    ],
)
def test_an_end_of_code_that_is_none_is_refused(changes):
    """A status has its error, and an error its words."""
    error = CodeError("ValueError", "no", "…")
    assert answers.code_result(GOOD_CODE) == CodeResult("error", 2.0, error)
    with pytest.raises(Malformed):
        answers.code_result(GOOD_CODE | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "a"},
        {"path": ""},
        {"path": "/a\0b"},
        {"path": None},
        {"kind": "door"},
        {"kind": ["file"]},
        {"size": -1},
        {"size": 2**63},
        {"size": 1.5},
        {"mode": 0o10000},
        {"mode": -1},
        {"modified": 10**400},
        {"modified": math.nan},
        {"modified": None},
    ],
)
def test_an_entry_that_is_none_is_refused(changes):
    """Paths are absolute, kinds known, numbers within what a filesystem has."""
    line = json.dumps(GOOD_FILE).encode() + b"\n"
    assert file_answers.listing(line) == (FileInfo("/a", "file", 3, 0o644, 1.5),)
    with pytest.raises(Malformed):
        file_answers.listing(json.dumps(GOOD_FILE | changes).encode() + b"\n")


def test_a_listing_of_too_many_entries_or_a_cut_line_is_refused():
    """Ten thousand entries are legal; one more, or half a line, is not."""
    line = json.dumps(GOOD_FILE).encode() + b"\n"
    assert len(file_answers.listing(line * 10_000)) == 10_000
    with pytest.raises(Malformed):
        file_answers.listing(line * 10_001)
    with pytest.raises(Malformed):
        file_answers.listing(line[:-1])
    assert file_answers.listing(b"") == ()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("not_found", FileNotFound),
        ("quota", QuotaExceeded),
        ("refused", GuestRefused),
        ("?", GuestRefused),
    ],
)
def test_a_refusal_becomes_its_error(code, expected):
    """Known codes have errors of their own; any other is a plain refusal."""
    assert type(answers.refusal(StreamReset(code, "why"))) is expected


def test_words_of_a_refusal_cannot_steer_a_terminal_or_fill_it():
    """A guest's words are clipped and hold no control characters or lone surrogates."""
    error = answers.refusal(StreamReset("refused", "\x1b[2J\ud800\n\0" + "x" * 5_000))
    assert error.message.isprintable()
    assert len(error.message) < 600
