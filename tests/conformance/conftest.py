"""What the conformance checks run on besides real machines: a sandbox without walls."""

from collections.abc import AsyncIterator

import pytest

from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.testing.sandbox import LocalProvider


@pytest.fixture
async def local_provider() -> AsyncIterator[SandboxProvider]:
    """A provider of processes without walls."""
    provider = LocalProvider()
    yield provider
    await provider.close()


@pytest.fixture
async def local(local_provider: SandboxProvider) -> Sandbox:
    """A sandbox without walls."""
    return await local_provider.create(SandboxSpec())
