"""What a setting needs that is not installed is named, with the command that installs it."""

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from forge.clock import SystemClock
from forge.errors import SettingsInvalid
from forge.hosting import open_logins
from forge.keeping import open_blobs
from forge.settings import Settings
from forge.telemetry import open_spans

MODULES = {
    "s3": "obstore",
    "oidc": "joserfc",
    "otel": "opentelemetry.sdk.trace",
}
SET_TO = {
    "s3": {"FORGE_BLOBS_URL": "s3://k:hunter2-hunter2@bucket"},
    "oidc": {"FORGE_OIDC_ISSUER": "https://login.example", "FORGE_OIDC_CLIENT_ID": "forge"},
    "otel": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"},
}


async def entered(opened: AbstractAsyncContextManager[object]) -> None:
    async with opened:
        pass


async def use(extra: str, settings: Settings) -> None:
    """Have the settings do what needs the extra."""
    if extra == "s3":
        open_blobs(settings)
    elif extra == "oidc":
        await entered(
            open_logins(settings, "http://localhost", SystemClock(), b"0" * 32, may_join=True)
        )
    else:
        await entered(open_spans(settings))


@pytest.mark.parametrize("extra", MODULES)
async def test_a_setting_whose_extra_is_missing_names_it_and_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
):
    """At the start, in words, without the secret in the setting; and unset it needs nothing."""
    loaded = (MODULES[extra], *(("forge.accounts",) if extra == "oidc" else ()))
    for name in list(sys.modules):
        if name.startswith(tuple(f"{each}." for each in loaded)):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, MODULES[extra], None)
    wanted = Settings(FORGE_HOME=tmp_path, **SET_TO[extra])  # type: ignore[arg-type]
    with pytest.raises(SettingsInvalid, match=f"extra `{extra}`") as refused:
        await use(extra, wanted)
    assert f"uv sync --extra {extra}" in refused.value.hint
    assert f"pip install 'forge-microvm[{extra}]'" in refused.value.hint
    assert "hunter2" not in str(refused.value)
    await use(extra, Settings(FORGE_HOME=tmp_path))  # type: ignore[call-arg]
