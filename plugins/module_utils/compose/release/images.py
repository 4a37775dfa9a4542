# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are there before anything is touched: fetched, built, or looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.children import first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project

AUTO, PULL, BUILD, PRESENT = "auto", "pull", "build", "present"
HOW = (AUTO, PULL, BUILD, PRESENT)


def way_of(service: Declared, obtain: str, *, is_given: bool) -> str:
    """How the image of a service is obtained; one that was named is never built."""
    if obtain == AUTO:
        return BUILD if service.builds and not is_given else PULL
    return PRESENT if obtain == BUILD and (is_given or not service.builds) else obtain


def obtain_all(
    docker: Docker,
    project: Project,
    services: Sequence[Declared],
    ways: Mapping[str, str],
    images: Mapping[str, str],
    seconds: float,
) -> None:
    """Fetch and build; raises RunbookError, at which time nothing was touched."""
    pulled = set()
    for each in services:
        reference = images.get(each.name, each.image)
        if ways[each.name] == PULL and reference not in pulled:
            pulled.add(reference)
            _explain(docker.execute("image", "pull", "--quiet", reference, seconds=seconds), f"fetch {reference}")
    built = [each.name for each in services if ways[each.name] == BUILD]
    if built:
        _explain(docker.compose(project, "build", *built, seconds=seconds), f"build {', '.join(built)}")


def _explain(ended: object, what: str) -> None:
    code, words = getattr(ended, "code", 0), getattr(ended, "words", "")
    if code:
        said = first_words("\n".join(words.splitlines()[-3:]))
        raise RunbookError(f"Could not {what}: {said}. Nothing was touched; the old containers run on.")


def missing_images(references: Mapping[str, str], ids: Mapping[str, str | None]) -> list[str]:
    """The services whose images are not on this host, with the image's name."""
    return [f"{name} ({reference})" for name, reference in references.items() if ids.get(reference) is None]


def protect(docker: Docker, project: Project, images: Mapping[str, str]) -> None:
    """Give released images names of their own, so that clearing away images without a name spares them."""
    for service, image in images.items():
        docker.run("image", "tag", image, tag_of(project.name, service, image))


def tag_of(project: str, service: str, image: str) -> str:
    """The name that a released image keeps."""
    return f"runbook/{project}-{service}:{image.rpartition(':')[2][:12]}".lower()
