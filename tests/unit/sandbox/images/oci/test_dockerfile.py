"""Which images a Dockerfile starts from."""

import pytest

from forge.errors import SourceRefused
from forge.sandbox.images.oci.dockerfile import read_dockerfile

TEXT = """\
# syntax=x
ARG VERSION=12
ARG NAME
FROM --platform=linux/amd64 debian:${VERSION} AS Build
RUN echo \\
FROM nothing
FROM build
FROM scratch
COPY --from=build /x /x
from other:${NAME:-new} as last
FROM debian:$VERSION
"""


def test_images_are_renamed_and_stages_are_not():
    """Each image once; a line that goes on is no FROM; the rest stays as it is."""
    found = read_dockerfile(TEXT)
    assert found.images == ("debian:12", "other:new")
    assert found.text.splitlines() == [
        *TEXT.splitlines()[:3],
        "FROM localhost/forge-base-0:latest AS Build",
        *TEXT.splitlines()[4:9],
        "FROM localhost/forge-base-1:latest as last",
        "FROM localhost/forge-base-0:latest",
    ]


@pytest.mark.parametrize("text", ["", "RUN x\n", "ARG A\nFROM x:$A\n", "FROM ${B}\n"])
def test_a_dockerfile_without_an_image_is_refused(text: str):
    """The message says what is missing."""
    with pytest.raises(SourceRefused):
        read_dockerfile(text)


def test_absurd_dockerfiles_are_refused():
    """Too many images, or too long."""
    with pytest.raises(SourceRefused):
        read_dockerfile("".join(f"FROM a{number}\n" for number in range(40)))
    with pytest.raises(SourceRefused):
        read_dockerfile("FROM a\n" + "#" * (2 << 20))
