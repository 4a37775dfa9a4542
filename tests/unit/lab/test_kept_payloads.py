"""Packages with bytecode: used where it fits, passed by where it does not."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from lab.callbacks.kept_payloads import compiled

SOURCE = b"VALUE = 41 + 1\n"


@pytest.mark.parametrize("fits", [True, False])
def test_bytecode_beside_its_source(tmp_path: Path, fits: bool) -> None:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as package:
        package.writestr("packed/__init__.py", b"")
        package.writestr("packed/example.py", SOURCE)
        package.writestr("packed/data.txt", b"as it is")
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(io.BytesIO(compiled(plain.getvalue()))) as source, zipfile.ZipFile(path, "w") as target:
        assert source.read("packed/example.py") == SOURCE
        for name in source.namelist():
            content = source.read(name)
            # What another Python finds: bytecode of a version that it does not know.
            target.writestr(name, b"\0\0\0\0" + content[4:] if name.endswith(".pyc") and not fits else content)
    told = subprocess.run(
        [sys.executable, "-c", "from packed import example; print(example.__file__[-4:].strip('e'), example.VALUE)"],
        env={"PYTHONPATH": str(path)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert told.split() == [".pyc" if fits else ".py", "42"]
    with zipfile.ZipFile(path) as package:
        assert package.read("packed/data.txt") == b"as it is"
        assert "packed/data.txtc" not in package.namelist()
