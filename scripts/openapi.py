"""Write `docs/api/openapi.json` as the routes are now: `make openapi`."""

from pathlib import Path

from forge.server.app import PAGES
from forge.server.openapi import described, written

HERE = Path(__file__).resolve().parent.parent / "docs" / "api" / "openapi.json"

if __name__ == "__main__":
    HERE.write_text(written(described(page.router for page in PAGES)), encoding="utf-8")
