"""Run `ansible-test sanity` with package indexes alone.

usage: python .ci/sanity.py COPY [ARGUMENT ...]

Its virtual environments start without pip, and it would fetch a script from elsewhere to install it. The standard
library's ensurepip does the same from what Python ships, so that is what the cached script says.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

GET_PIP = """
import subprocess
import sys

# In a process of its own: it would switch pip's configuration off for this one.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
packages = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]))
"""

copy = Path(sys.argv[1])
home = Path(__file__).resolve().parents[1] / "build" / "home"
cache = home / ".ansible" / "test" / "cache"
cache.mkdir(parents=True, exist_ok=True)
python = SimpleNamespace(version=f"{sys.version_info[0]}.{sys.version_info[1]}")
pip_version = get_venv_packages(python)["pip"]
(cache / f"get_pip_{pip_version.replace('.', '_')}.py").write_text(GET_PIP, encoding="utf-8")

# It also hides the environment from pip, where an index, a certificate or a proxy may be configured, so what holds
# here is written down where it will look.
settings = subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
).stdout
options = {}
for line in settings.splitlines():
    key, _ignored, value = line.partition("=")
    options[key.rsplit(".", 1)[-1]] = ast.literal_eval(value)
configuration = home / ".config" / "pip" / "pip.conf"
configuration.parent.mkdir(parents=True, exist_ok=True)
lines = (f"{name} = {str(value).replace(chr(10), chr(10) + '    ')}" for name, value in sorted(options.items()))
configuration.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")

environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
environment["HOME"] = str(home)
# Every Python of the machine, without the shims of a version manager, which answer with an error.
interpreters = Path(
    subprocess.run(
        [sys.executable, str(Path(__file__).parent / "interpreters.py")], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
)
folders = [folder for folder in environment["PATH"].split(os.pathsep) if not folder.endswith("/shims")]
environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(interpreters), *folders])
command = ["ansible-test", "sanity", "--venv", "--color", "no", *sys.argv[2:]]
sys.exit(subprocess.run(command, cwd=copy, env=environment, check=False).returncode)
