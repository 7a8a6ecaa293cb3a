"""The built distributions, and the wheel installed in a virtual environment outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.binaries import PROJECT
from devstack.state_directory import temporary_state_directory


@dataclass(frozen=True)
class Distributions:
    """The files that `python -m hatchling build` made."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def distributions() -> Iterator[Distributions]:
    with temporary_state_directory() as directory:
        # A copy without what git ignores, except the page, which `make test` builds first.
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
        source = directory / "source"
        for name in tracked.decode().split("\0")[:-1]:
            if (PROJECT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(PROJECT / name, source / name)
        shutil.copytree(PROJECT / "service/web/dist", source / "service/web/dist", dirs_exist_ok=True)
        shutil.copytree(PROJECT / "node_modules/swagger-ui-dist", source / "node_modules/swagger-ui-dist")
        build = [sys.executable, "-m", "hatchling", "build", "-d", str(directory / "dist")]
        subprocess.run([*build, "-t", "sdist"], cwd=source, check=True, capture_output=True, timeout=240)
        [sdist] = (directory / "dist").glob("*.tar.gz")
        # The wheel is built from the sdist, as installers do it.
        shutil.unpack_archive(sdist, directory)
        unpacked = directory / sdist.name.removesuffix(".tar.gz")
        subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True, timeout=240)
        [wheel] = (directory / "dist").glob("*.whl")
        yield Distributions(wheel, sdist)


@dataclass(frozen=True)
class Installed:
    """The wheel in a virtual environment of its own."""

    directory: Path

    def command(self, *arguments: str | Path) -> list[str]:
        """A command of the console script."""
        return [str(self.directory / "bin/assetdock-server"), *map(str, arguments)]

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command outside the checkout. The caller checks `returncode`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@pytest.fixture(scope="session")
def installed(distributions: Distributions) -> Iterator[Installed]:
    """Only Assetdock is installed from the wheel; its dependencies are those of the checkout's environment."""
    with temporary_state_directory() as directory:
        venv.create(directory / "venv", with_pip=False)
        [site_packages] = (directory / "venv/lib").glob("python*/site-packages")
        # A path in a .pth file is searched after site-packages, and its own .pth files, such as that of the editable
        # installation of the checkout, are not read.
        (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(directory / "venv/bin/python"), "install"]
        subprocess.run(
            [*pip, "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(distributions.wheel)],
            check=True,
            capture_output=True,
            timeout=240,
        )
        yield Installed(directory / "venv")
