"""What the host says on the kernel's command line."""

import pytest

from forge_guest import options

LINE = (
    "quiet panic=-1 forge.rootfs=squashfs forge.disk-agent=vda forge.line=vsock:1000 root=/dev/x\n"
)


def test_only_our_words_are_read():
    """The kernel's own options are not ours, whatever they hold."""
    assert options.parse(LINE) == {
        "rootfs": "squashfs",
        "disk-agent": "vda",
        "line": "vsock:1000",
    }
    assert options.parse("console=forge.x init=/forge.y=1") == {}


def test_without_a_word_the_line_is_the_serial_port():
    """QEMU's machines are told nothing."""
    assert options.vsock_port({"rootfs": "squashfs"}) is None
    assert options.vsock_port(options.parse(LINE)) == 1000


@pytest.mark.parametrize("line", ["", "tcp:1", "vsock:", "vsock:x"])
def test_a_line_that_is_unknown_ends_the_agent(line):
    """An agent that waits in the wrong place would be a machine half alive."""
    with pytest.raises(ValueError, match=r"no line is called|invalid literal"):
        options.vsock_port({"line": line})
