"""What a guest says of its volumes and of its use: checked, and a lie ends it."""

import pytest

from forge.errors import GuestViolation, SandboxStopped, VolumeUnusable
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.volumes import AgentVolumes
from forge.sandbox.metrics import Claims
from forge.sandbox.volumes import VolumeMount
from forge.testing.guest import fake_guest

MOUNTS = (("forge-vol0", VolumeMount("data", "/data", read_only=True)),)


def says(value):
    async def verb(stream):
        await stream.message(value, fin=True)

    return verb


async def refuses(stream):
    stream.reset("refused", "\x1b[2J/data: Structure needs cleaning")


async def asked(verbs, use):
    """What comes of `use(connection)` with a guest that answers so."""
    import asyncio

    async with asyncio.timeout(60), fake_guest(verbs) as guest, asyncio.TaskGroup() as tasks:
        connection = Connection(guest.fd, lambda _: None)
        reading = tasks.create_task(connection.run())
        try:
            return await use(connection), guest.requests
        finally:
            connection.close()
            reading.cancel()


async def asked_alone(verbs, use):
    try:
        return await asked(verbs, use)
    except ExceptionGroup as group:
        while isinstance(group, ExceptionGroup):
            group = group.exceptions[0]
        raise group from None


async def test_a_mount_names_disk_place_and_mode():
    """As docs/wire.md has them."""
    _, requests = await asked_alone(
        {"mount": says({"mounted": 1})}, lambda line: AgentVolumes(line).mount(MOUNTS)
    )
    volumes = [{"serial": "forge-vol0", "path": "/data", "read_only": True}]
    assert requests == [{"verb": "mount", "volumes": volumes}]


async def test_a_volume_that_the_kernel_does_not_take_is_named():
    """With the reason, and nothing in it that steers a terminal."""
    with pytest.raises(VolumeUnusable, match=r"data.*Structure needs cleaning") as refused:
        await asked_alone({"mount": refuses}, lambda line: AgentVolumes(line).mount(MOUNTS))
    assert "\x1b" not in refused.value.message


@pytest.mark.parametrize("count", [0, 2, -1, True, "1", None, 1.0, 2**70])
async def test_a_guest_that_lies_about_its_volumes_is_ended(count):
    """Fewer or more than it was given, or no number."""
    with pytest.raises(GuestViolation):
        await asked_alone(
            {"mount": says({"mounted": count})}, lambda line: AgentVolumes(line).mount(MOUNTS)
        )


@pytest.mark.parametrize("clean", [1, None, "yes", []])
async def test_a_clean_that_is_neither_true_nor_false_ends_it(clean):
    """No word of a guest is taken for yes."""
    with pytest.raises(GuestViolation):
        await asked_alone(
            {"unmount": says({"clean": clean})}, lambda line: AgentVolumes(line).unmount()
        )


async def test_claims_are_the_guests_numbers_as_it_gives_them():
    """A lie that is a number is shown as a claim, and changes nothing else."""
    lie = {"memory_available": 2**62, "processes": 0}
    claims, _ = await asked_alone({"usage": says(lie)}, lambda line: line.usage())
    assert claims == Claims(2**62, 0)


@pytest.mark.parametrize("memory", [-1, 2**63, 1.5, float("inf"), "1", None, True, [1], {}])
async def test_a_claim_that_is_no_number_ends_the_machine(memory):
    """In either place."""
    for lie in (
        {"memory_available": memory, "processes": 1},
        {"memory_available": 1, "processes": memory},
    ):
        with pytest.raises((GuestViolation, SandboxStopped)):
            await asked_alone({"usage": says(lie)}, lambda line: line.usage())


async def test_traffic_is_what_passed_the_line():
    """Counted by the host, in both directions."""

    async def talk(line):
        before = line.traffic
        await line.usage()
        return before, line.traffic

    (before, after), _ = await asked_alone(
        {"usage": says({"memory_available": 1, "processes": 1})}, talk
    )
    assert after[0] > before[0]
    assert after[1] > before[1]
