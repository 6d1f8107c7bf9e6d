"""`forge image build` and `forge image list`: what machines boot from."""

import asyncio
import time

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.sandbox.images.stock import Images
from forge.settings import Settings


async def build_image(settings: Settings, screen: Screen, name: str, *, verify: bool) -> Exit:
    """Make an image where it is missing; say what it is made of, and check it where asked."""
    images, begun = Images(settings.home), time.monotonic()
    with stopping(screen.notice) as stop:
        try:
            with screen.building() as tell:
                image = await images.build(name, tell)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
        screen.line(
            f"The image of the template {image.name} is ready ({image.key}), after "
            f"{words.duration(time.monotonic() - begun)}."
        )
        for part in (image.vmlinuz, image.initrd, image.agent, image.root):
            screen.line(f"  {words.size(part.stat().st_size):>8}  {part}")
        if verify:
            await images.verify(image)
            screen.line("Every byte is what was built.")
    return Exit.DONE


async def list_images(settings: Settings, screen: Screen) -> Exit:
    """Print every template there is a recipe for, and whether its image is built."""
    rows = [
        (
            fact.name,
            "not built" if fact.size is None else "built",
            fact.key or "",
            "" if fact.size is None else words.size(fact.size),
            fact.summary,
        )
        for fact in Images(settings.home).known()
    ]
    screen.table(("TEMPLATE", "IMAGE", "KEY", "SIZE", "WHAT IT IS"), rows)
    return Exit.DONE
