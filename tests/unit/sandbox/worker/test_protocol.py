"""The words of the worker protocol: greetings, values and errors come back as they went."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge import errors
from forge.errors import ForgeError, HostUnfit, WorkerForeign
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.base import Attempt, Limits, Probe, SandboxFacts, SandboxSpec
from forge.sandbox.worker import protocol
from forge.sandbox.worker.protocol import OURS


def every(kind: type[ForgeError] = ForgeError) -> list[type[ForgeError]]:
    ours = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return [kind, *(below for each in ours for below in every(each))]


@given(st.binary(max_size=200), st.binary(max_size=50), st.integers(min_value=0))
def test_a_greeting_is_found_behind_whatever_a_login_prints(noise: bytes, rest: bytes, cut: int):
    """However the bytes are cut; what follows it is kept, what came before is dropped."""
    whole = noise + b"\n" + protocol.greeting() + rest
    before = whole[: cut % (len(noise) + 1)]
    assert protocol.find_greeting(before) is None or b"forge-worker" in noise
    found = protocol.find_greeting(whole)
    assert found is not None
    if b"forge-worker" not in noise:
        assert found == (OURS, rest)


def test_a_terminal_on_the_way_is_named():
    """It turns line ends around, and would do so with every byte of the wire."""
    with pytest.raises(Malformed, match="ssh -t"):
        protocol.find_greeting(protocol.greeting().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(("step", "older"), [(1, "this computer"), (-1, "the worker")])
def test_other_versions_are_refused_with_what_to_update(place: int, step: int, older: str):
    """Both ends' versions are in the message, and the hint says which of them is older."""
    theirs = list(OURS)
    theirs[place] += step
    other = protocol.Versions(*theirs)
    with pytest.raises(WorkerForeign) as refused:
        protocol.check_versions(other)
    assert str(other) in refused.value.message
    assert str(OURS) in refused.value.message
    assert f"update {older}" in refused.value.hint


def test_another_release_that_speaks_alike_will_do():
    """Only what is spoken counts."""
    protocol.check_versions(OURS._replace(forge="99.0"))


@pytest.mark.parametrize(
    "value",
    [
        SandboxSpec("other", Limits(512, 64, 20)),
        SandboxFacts("sbx_1", "qemu", "tcg", "base", 1.5),
        Probe("qemu", None, (Attempt("kvm", False, "no", 1.0),), "7.2", True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back_as_they_went(value):
    """Through real JSON."""
    there = json.loads(json.dumps(protocol.to_json(value)))
    assert protocol.from_json(type(value), there) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_said_is_a_value_or_malformed(said):
    """No JSON makes anything else of it, as a verdict or as an error."""
    for make in (lambda: protocol.from_json(Probe, said), lambda: protocol.error_from(said)):
        try:
            made = make()
        except Malformed:
            continue
        assert isinstance(made, Probe | ForgeError)


@pytest.mark.parametrize("kind", every(), ids=lambda kind: kind.__name__)
def test_every_error_is_made_anew_from_our_own_tree(kind: type[ForgeError]):
    """By its code, with its words; where a host is to be mended, it is said which."""
    made = protocol.error_from(protocol.error_json(kind("It broke.", hint="Mend it."))["error"])
    assert type(made) is kind
    assert made.message == "It broke."
    of_a_host = issubclass(kind, HostUnfit | errors.ImageError | errors.TemplateError)
    assert made.hint == ("At the worker: Mend it." if of_a_host else "Mend it.")


def test_nothing_that_the_other_side_names_is_imported():
    """A code of no class of ours is the plainest error, and its words steer no terminal."""
    said = {"code": "os.system", "message": "\x1b[2Jgone\u202e", "hint": "h\x07"}
    made = protocol.error_from(said)
    assert type(made) is ForgeError
    assert made.message.isprintable()
    assert made.hint.isprintable()
