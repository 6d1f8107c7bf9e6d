"""What the console takes the server's answers for is what they are."""

import sys

import house


async def test_the_consoles_types_are_the_servers():
    """`make openapi` writes them anew."""
    sys.path.insert(0, str(house.ROOT / "scripts"))
    try:
        import webtypes
    finally:
        sys.path.pop(0)
    for name, text in webtypes.made().items():
        assert (webtypes.HERE / name).read_text(encoding="utf-8") == text, name
