"""A project of compose_colours, without its balancer, that outlives the command that made it: for molecule.

python -m lab.compose_stand up DIRECTORY           the first version runs; DIRECTORY/inventory.yml names it
python -m lab.compose_stand want DIRECTORY TAG     what the environment file asks for: 1, 2 or sick
python -m lab.compose_stand down DIRECTORY
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from lab.compose_colours import COLOURS, ENV_FILE, GOOD, Colours, make_images, make_services
from lab.compose_project import ComposeProject
from lab.ports import free_port


def main(action: str, place: str, tag: str = GOOD) -> None:
    directory = Path(place).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    marker = directory / "name"
    project = ComposeProject(directory)
    if marker.exists():
        project.name = marker.read_text(encoding="utf-8")
    if action == "down":
        project.remove()
        shutil.rmtree(directory, ignore_errors=True)
        return
    Colours(project, "", {}).set(tag, f"version {tag}")
    if action == "want":
        return
    marker.write_text(project.name, encoding="utf-8")
    make_images(project)
    make_services(project, {colour: free_port() for colour in COLOURS})
    project.compose("--env-file", ENV_FILE, "up", "--detach", "--wait")
    (directory / "database").write_text(project.inspect("database")["Id"], encoding="utf-8")
    docker = {name: value for name, value in project.environment.items() if name.startswith("DOCKER_")}
    given = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "compose_env_files": [ENV_FILE],
        "stand_environment": docker,
    }
    inventory = {"all": {"children": {"compose": {"hosts": {"shop": {**given, **project.variables()}}}}}}
    (directory / "inventory.yml").write_text(json.dumps(inventory, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
