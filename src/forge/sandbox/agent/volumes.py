"""Volumes over the wire: for the provider, before anyone uses a machine and after everyone has."""

from forge.errors import GuestRefused, VolumeUnusable
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.volumes import VolumeMount


class AgentVolumes:
    """Mounts a machine's volumes and gives them back."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def mount(self, mounts: tuple[tuple[str, VolumeMount], ...]) -> None:
        """Mount volumes, each given with its disk's serial.

        Raises:
            VolumeUnusable: the machine's kernel does not take one; the message says which.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
        volumes = [
            {"serial": serial, "path": mount.path, "read_only": mount.read_only}
            for serial, mount in mounts
        ]
        request = {"verb": "mount", "volumes": volumes}
        try:
            async with Call(self._line, request, deadlines.VOLUME_S, fin=True) as call:
                count = call.checked(answers.mounted, await call.final())
        except GuestRefused as error:
            names = ", ".join(mount.name for _, mount in mounts)
            raise VolumeUnusable(f"of the volumes {names}, {error.message}") from error
        if count != len(mounts):
            raise self._line.violated("fewer volumes than it was given")

    async def unmount(self) -> bool:
        """End what people run and give every volume back; whether all were given back whole.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
        async with Call(self._line, {"verb": "unmount"}, deadlines.VOLUME_S, fin=True) as call:
            return call.checked(answers.clean, await call.final())
