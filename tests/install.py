"""Installs wheel and sdist as users do, with several releases of pip: ``tox -e install``.

pytest collects this file only where it is named. Each release of pip has a virtual environment of its own, in
which the kernel's release is one that is no version, as on many machines.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import attrs
import pytest

ROOT = Path(__file__).parents[1]
KERNEL = "6.8.0-45-generic"
PIPS = ("24.0", "24.2", "25.3", "newest")
PIPS_THAT_COMPARE_KERNELS = ("24.2", "25.3")
LIGHT_EXTRAS = "fast,test,lint,types"
HEAVY_EXTRA = "train"
NOT_SOURCE = (".git", ".tox", ".venv*", ".*_cache", "__pycache__", "build", "dist", "*.egg-info", "shared")
NO_WARNINGS = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONWARNINGS": "ignore"}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command outside of the checkout, whose package would hide the installed one."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, **NO_WARNINGS},
        capture_output=True,
        text=True,
        check=False,
    )


@attrs.frozen
class Environment:
    """A virtual environment with one release of pip."""

    folder: Path
    pip: str

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *arguments: str | Path, status: int = 0) -> str:
        ended = run(self.python, *arguments, cwd=self.folder)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def install(self, *arguments: str | Path, status: int = 0) -> str:
        return self.run("-m", "pip", "install", *arguments, status=status)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist, built from the checkout as a release would build them."""
    built, source = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("source") / "checkout"
    # A copy: building leaves its traces in the source folder, where another test process may build as well.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    ended = run(sys.executable, "-m", "build", "--outdir", built, source, cwd=built)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(
    scope="module", params=[pytest.param(pip, marks=pytest.mark.xdist_group(pip)) for pip in PIPS]
)
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    environment = Environment(folder, request.param)
    environment.install("--upgrade", "pip" if request.param == "newest" else f"pip=={request.param}")
    site_packages = environment.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    lie = f"import platform\nplatform.release = lambda: {KERNEL!r}\n"
    Path(site_packages, "sitecustomize.py").write_text(lie)
    return environment


def test_these_are_the_kernel_and_the_pip(environment: Environment) -> None:
    assert environment.run("-c", "import platform; print(platform.release())").strip() == KERNEL
    release = environment.run("-m", "pip", "--version").split()[1]
    assert environment.pip in (release, "newest")
    if environment.pip in PIPS_THAT_COMPARE_KERNELS:
        marked = 'nothing; platform_release < "1"'
        assert "InvalidVersion" in environment.install("--no-index", "--dry-run", marked, status=2)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_and_runs(environment: Environment, distributions: dict[str, Path], kind: str) -> None:
    environment.install("--force-reinstall", "--no-deps", distributions[kind])
    environment.install(f"{distributions[kind]}[{LIGHT_EXTRAS}]")
    environment.run("-m", "pip", "check")
    environment.run("-c", "import sleaprtc, sleaprtc.client, sleaprtc.worker, sleaprtc.server")
    shown = run(environment.folder / "bin" / "sleap-rtc", "--version", cwd=environment.folder)
    assert re.fullmatch(r"sleap-rtc(, version)? [\w.]+", shown.stdout.strip()), shown


def test_the_heavy_extra_resolves(environment: Environment, distributions: dict[str, Path]) -> None:
    said = environment.install("--dry-run", f"{distributions['wheel']}[{HEAVY_EXTRA}]")
    assert re.search(r"Would install .*sleap-nn", said)


def required(description: bytes) -> list[str]:
    return sorted(re.findall(r"(?m)^(?:Requires|Provides|Name|Version).*$", description.decode()))


def test_wheel_and_sdist_require_the_same(distributions: dict[str, Path]) -> None:
    """What resolves for one of them, then resolves for the other."""
    with ZipFile(distributions["wheel"]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        of_wheel = required(wheel.read(name))
    with tarfile.open(distributions["sdist"]) as sdist:
        folder = distributions["sdist"].name.removesuffix(".tar.gz")
        file = sdist.extractfile(f"{folder}/PKG-INFO")
        assert file is not None
        assert required(file.read()) == of_wheel
    assert any("wrtc" in line for line in of_wheel)


@pytest.fixture(scope="module")
def newest(environment: Environment) -> Environment:
    if environment.pip != "newest":
        pytest.skip("the newest pip is enough to see that a command works")
    return environment


def remedies(environment: Environment) -> Iterator[list[str]]:
    printing = "from sleaprtc.base.distribution import install_command as c; print(c('fast')); print(c(None))"
    for command in environment.run("-c", printing).splitlines():
        python, *arguments = shlex.split(command)
        assert Path(python).parent == environment.python.parent
        yield arguments


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_commands_that_it_prints_work(
    newest: Environment, distributions: dict[str, Path], kind: str
) -> None:
    newest.install("--force-reinstall", "--no-deps", distributions[kind])
    for arguments in remedies(newest):
        newest.run(*arguments, "--dry-run")


def test_the_commands_that_a_checkout_prints_work(newest: Environment) -> None:
    newest.install("--force-reinstall", "--no-deps", ROOT)
    for arguments in remedies(newest):
        assert str(ROOT) in arguments[-1]
        newest.run(*arguments, "--dry-run")
