"""Every sandbox of ours keeps the contract of `forge.sandbox.base`."""

import pytest

from forge.testing.sandbox_conformance import (
    code,
    commands,
    contexts,
    files,
    javascript,
    life,
    lifecycle,
    limits,
    ports,
    processes,
    rich,
    terminals,
    trees,
    volumes,
)

SANDBOX_CHECKS = (
    *commands.CHECKS,
    *code.CHECKS,
    *contexts.CHECKS,
    *rich.CHECKS,
    *javascript.CHECKS,
    *files.CHECKS,
    *trees.CHECKS,
    *processes.CHECKS,
    *terminals.CHECKS,
    *ports.CHECKS,
)

PROVIDER_CHECKS = (*life.CHECKS, *lifecycle.CHECKS, *limits.CHECKS)

WALLS = "a folder and processes of this host: it has no root, users, devices or disk of its own"
PLAIN = "its contexts run code with nothing but the standard library, and end at a deadline"

TREES = "it writes, reads and lists, and leaves trees to this host's own tools"

CONTEXTS = (
    "its contexts are there once they are used: it neither lists, interrupts nor removes them"
)
FOREGROUND = "it runs plain commands in the foreground alone, on this host's own ports"

LOCAL_CANNOT = {
    **dict.fromkeys((*processes.CHECKS, *terminals.CHECKS, *ports.CHECKS), FOREGROUND),
    commands.home_is_home: WALLS,
    commands.a_person_is_not_root_unless_asked: WALLS,
    commands.variables_are_set: "it gives every command the same few variables",
    commands.background_output_does_not_hold_the_end: "it reads output to its very end",
    code.displays_keep_their_place_in_the_output: PLAIN,
    code.a_traceback_shows_a_persons_frames_alone: PLAIN,
    code.a_deadline_interrupts_and_keeps_variables: PLAIN,
    code.asking_for_input_does_not_hang: PLAIN,
    code.a_child_of_code_does_not_answer_for_it: PLAIN,
    code.an_exception_that_cannot_be_printed_is_a_result: PLAIN,
    **dict.fromkeys(contexts.CHECKS[3:], CONTEXTS),
    **dict.fromkeys(trees.CHECKS, TREES),
    **dict.fromkeys(rich.CHECKS, PLAIN),
    **dict.fromkeys(javascript.CHECKS, PLAIN),
    files.an_entry_says_what_it_is: "it calls everything a file that is no folder or symlink",
    files.devices_are_refused: WALLS,
    files.nothing_leads_out_of_the_machine: WALLS,
    files.a_persons_rights_are_the_limit: WALLS,
    files.a_full_disk_is_named_and_nothing_is_kept: WALLS,
    **dict.fromkeys(limits.CHECKS, "nothing limits or accounts for processes of this host"),
    life.stopping_ends_what_is_under_way: "what it ran ends with a signal, which is a result",
    life.machines_have_names_of_their_own: WALLS,
    life.an_unknown_template_is_named: "it has no templates: every name makes the same",
    life.a_probe_says_what_works_and_remembers: "it boots nothing",
    **dict.fromkeys(lifecycle.CHECKS, "processes of this host cannot be saved"),
}
"""What the fake does not promise, and why."""


def named(check):
    return check.__name__


def for_local(checks):
    """The checks, with what the fake cannot honour marked."""
    return [
        pytest.param(check, marks=[pytest.mark.skip(reason=LOCAL_CANNOT[check])])
        if check in LOCAL_CANNOT
        else check
        for check in checks
    ]


@pytest.mark.parametrize("check", for_local(SANDBOX_CHECKS), ids=named)
async def test_a_local_sandbox_keeps_the_contract(local, check):
    """Real processes without walls keep what the floors above rely on."""
    await check(local)


@pytest.mark.parametrize("check", for_local(PROVIDER_CHECKS), ids=named)
async def test_the_local_provider_keeps_the_contract(local_provider, check):
    """Machines without walls are made, kept apart and stopped as any others."""
    await check(local_provider)


@pytest.mark.vm
@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=named)
async def test_a_microvm_keeps_the_contract(qemu, check):
    """A real machine keeps every promise."""
    await check(qemu)


@pytest.mark.vm
@pytest.mark.parametrize("check", PROVIDER_CHECKS, ids=named)
async def test_the_qemu_provider_keeps_the_contract(qemu_provider, check):
    """Real machines are made, kept apart and stopped as promised."""
    await check(qemu_provider)


@pytest.mark.vm
@pytest.mark.parametrize("check", volumes.CHECKS, ids=named)
async def test_the_qemu_provider_keeps_volumes(qemu_home, check):
    """Real volumes in real machines outlive them, one writes or many read."""
    provider, store = qemu_home
    await store.create("work", 32)
    await check(provider, store)
