"""What is blotted out of a log's line, in whatever form it came there."""

import pytest

from forge.cli.masking import Mask

TOKEN = "fgs_Jx0-8mQy_Zt7Vd2aK9"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /invite#{TOKEN}",
        f"authorization: Bearer {TOKEN}",
        "Authorization: Basic eHh4Onl5eQ==",
        "{'cookie': 'forge_session=eHh4Onl5eQ=='}",
        "Cookie: a=eHh4Onl5eQ==; b=eHh4Onl5eQ==",
        '"password": "eHh4Onl5eQ=="',
        '{"body": "{\\"new_password\\": \\"eHh4Onl5eQ==\\"}"}',
        "postgresql://forge:eHh4Onl5eQ==@db:5432/forge",
        "/api/artifacts/x?expires=1&signature=eHh4Onl5eQ==",
        "ANTHROPIC_API_KEY=eHh4Onl5eQ==",
        "key sk-ant-eHh4Onl5eQ",
        "$argon2id$v=19$m=65536,t=3,p=4$eHh4Onl5eQ",
        "known words: horse staple",
    ],
)
def test_a_secret_is_blotted_out_whatever_form_it_has(line: str):
    """Tokens, headers, fields, parts of addresses, and what is known word for word."""
    said = Mask(["horse staple"]).text(line)
    for secret in (TOKEN, "eHh4Onl5eQ", "horse staple"):
        assert secret not in said
    assert "***" in said


@pytest.mark.parametrize(
    "line",
    [
        "GET /api/runs/{run_id} 200",
        "12 input_tokens, 3 output_tokens",
        "the run run_06bqx3c7 was not recovered: the token bucket is full",
        "https://forge.example:8443/api/conversations?cursor=abc@d",
    ],
)
def test_what_is_no_secret_is_left(line: str):
    """A log that blots out everything tells nothing."""
    assert Mask(["", "on"]).text(line) == line


def test_fields_are_looked_through_by_their_names_and_what_they_hold():
    """However deep; what is neither text nor number is written as text first."""
    fields = {
        "event": "asked",
        "password": "eHh4Onl5eQ==",
        "headers": {"Cookie": "a=eHh4Onl5eQ==", "accept": "*/*"},
        "sent": [(b"authorization", b"Bearer eHh4Onl5eQ=="), {"api_key": 3}],
        "input_tokens": 12,
    }
    said = Mask().fields(None, "info", fields)
    assert "eHh4Onl5eQ" not in str(said)
    assert (said["event"], said["input_tokens"]) == ("asked", 12)
    assert said["headers"] == {"Cookie": "***", "accept": "*/*"}
