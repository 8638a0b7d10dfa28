"""State of the installation and of the machine, with its problems, for bug reports."""

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from packaging.requirements import Requirement

from segprep.kernels.compiled import cache_folder
from segprep.kernels.distance import signed_distance
from segprep.kernels.nearest import nearest_two
from segprep.kernels.regions import bounding_box
from segprep.runs.machine import Cores, Memory, cores, memory
from segprep.workers.processes import START_METHOD, Processes

DEVELOPMENT = ("test", "dev", "fuzz")
"""Extras for those who change segprep: not examined."""
VARIABLES = ("NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "OPENCV_FOR_THREADS_NUM", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
"""Beginnings of the names of environment variables that decide about threads and caches."""
START_SECONDS = 60
"""Timeout of the start of a worker process."""
_MODULES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
}
"""Modules of the packages that are not named as these."""


class Problem(msgspec.Struct, frozen=True):
    """A problem and its remedy."""

    what: str
    remedy: str


class Package(msgspec.Struct, frozen=True):
    """Package that segprep uses: its version, None if it is not installed, the versions that fit, and its extra, if any."""

    name: str
    version: str | None
    needed: str
    extra: str | None = None


class KernelFolder(msgspec.Struct, frozen=True):
    """Folder of the compiled kernels, None if they are not kept, and their bytes; the home folder is ``~``."""

    path: str | None
    is_writable: bool
    bytes: int


class TemporaryFolder(msgspec.Struct, frozen=True):
    """Folder of temporary files, None if there is none, and the bytes that are free there; the home folder is ``~``."""

    path: str | None
    is_writable: bool
    free_bytes: int


class DoctorReport(msgspec.Struct, frozen=True):
    """State of the installation and of the machine.

    Attributes
    ----------
    segprep, python, platform : str
        Versions of segprep and Python, and the system.
    cores : Cores
        Cores of the machine, those on which this process may run, and the limit of its control groups.
    memory : Memory
        Memory of the machine, what is available, and the limit of the control groups, in bytes.
    kernels : KernelFolder
        Folder in which compiled kernels are kept.
    are_kernels_correct : bool
        True if compiled kernels give what the slow formulas do.
    temporary : TemporaryFolder
        Folder of temporary files.
    start_method : str
        How worker processes are started.
    do_workers_start : bool
        True if a worker process can be started.
    variables : dict of str
        Environment variables that decide about threads and caches.
    packages : list of Package
        Packages that segprep needs, and those of its extras.
    problems : list of Problem
        Problems, each with its remedy.
    """

    segprep: str
    python: str
    platform: str
    cores: Cores
    memory: Memory
    kernels: KernelFolder
    are_kernels_correct: bool
    temporary: TemporaryFolder
    start_method: str
    do_workers_start: bool
    variables: dict[str, str]
    packages: tuple[Package, ...]
    problems: tuple[Problem, ...]


def doctor() -> DoctorReport:
    """Examine the installation and this machine: versions, cores, memory, compiled kernels, temporary files, processes.

    Takes some seconds, in which all packages are imported, a few kernels are compiled, and a process is started.

    Returns
    -------
    DoctorReport
        What was found; without problems if all is in order.
    """
    problems: list[Problem] = []
    packages = _packages()
    problems += _package_problems(packages)
    are_correct = _found(problems, _kernel_problems())
    kernels = _kernel_folder(problems)
    temporary = _temporary(problems)
    do_start = _found(problems, _worker_problems())
    variables = {name: _tilde(os.environ[name]) for name in sorted(os.environ) if name.startswith(VARIABLES)}
    return DoctorReport(
        segprep=version("segprep"),
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        platform=platform.platform(),
        cores=cores(),
        memory=memory(),
        kernels=kernels,
        are_kernels_correct=are_correct,
        temporary=temporary,
        start_method=START_METHOD,
        do_workers_start=do_start,
        variables=variables,
        packages=packages,
        problems=tuple(problems),
    )


def _found(problems: list[Problem], found: Iterator[Problem]) -> bool:
    """Add problems to a list; True if there is none."""
    before = len(problems)
    problems.extend(found)
    return len(problems) == before


def _packages() -> tuple[Package, ...]:
    """Packages that segprep and its extras need, as its metadata list them."""
    extras = [extra for extra in metadata("segprep").get_all("Provides-Extra") or [] if extra not in DEVELOPMENT]
    found: dict[str, Package] = {}
    for requirement in map(Requirement, requires("segprep") or []):
        for extra in (None, *extras):
            is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""})
            if is_needed and requirement.name not in {*found, "segprep"}:
                needed = str(requirement.specifier)
                found[requirement.name] = Package(requirement.name, _version(requirement.name), needed, extra)
    return tuple(found.values())


def _version(name: str) -> str | None:
    """Version of a package; None if it is not installed. Conda gives some packages other names than PyPI."""
    try:
        return version(name)
    except PackageNotFoundError:
        with suppress(Exception):  # whatever an import may raise
            return str(import_module(_module(name)).__version__)
        return None


def _module(package: str) -> str:
    """Name of the module of a package."""
    return _MODULES.get(package, package.replace("-", "_"))


def _package_problems(packages: tuple[Package, ...]) -> Iterator[Problem]:
    """Packages that are missing, of a version that does not fit, or cannot be imported."""
    for package in packages:
        wanted = f"pip install '{package.name}{package.needed}'"
        if package.version is None:
            if package.extra is None:
                yield Problem(f"{package.name} is not installed", wanted)
        elif not _fits(package):
            yield Problem(f"{package.name} {package.version} is installed; segprep needs {package.needed}", wanted)
        elif package.extra is None:
            try:
                import_module(_module(package.name))
            except Exception as error:  # noqa: BLE001 - whatever an import may raise
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                again = f"pip install --force-reinstall '{package.name}{package.needed}'"
                yield Problem(f"{package.name} {package.version} cannot be imported: {reason}", again)


def _fits(package: Package) -> bool:
    return Requirement(f"{package.name}{package.needed}").specifier.contains(package.version or "", prereleases=True)


def _kernel_problems() -> Iterator[Problem]:
    """Kernels that are not compiled, fail, or differ from their formulas on a small mask."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        yield Problem("Numba compiles nothing, since NUMBA_DISABLE_JIT is set", "unset NUMBA_DISABLE_JIT")
        return
    labels = np.zeros((24, 40), np.int32)
    labels[2:9, 3:12], labels[9:15, 10:20], labels[20, 30] = 1, 2, 3
    again = "pip install --force-reinstall numba, and delete the folder of the compiled kernels"
    try:
        found = [*nearest_two(labels), signed_distance(labels)]
    except Exception as error:  # noqa: BLE001 - whatever a compiler may raise
        yield Problem(f"compiled kernels fail: {type(error).__name__}: {error}", again)
        return
    if not all(np.allclose(one, other, atol=1e-4) for one, other in zip(found, _slowly(labels), strict=True)):
        yield Problem("compiled kernels give wrong distances", again)


def _slowly(labels: Any) -> list[Any]:
    """Distances to the nearest two instances, and the signed distance, by their definitions."""
    places = np.argwhere(np.ones_like(labels, bool))

    def distance_to(region: Any) -> Any:
        steps = places[:, None] - np.argwhere(region)[None]
        return np.sqrt((steps**2).sum(2).min(1)).reshape(labels.shape)

    nearest = np.sort([distance_to(labels == number) for number in (1, 2, 3)], axis=0)
    inside = np.min([np.where(labels == number, distance_to(labels != number), np.inf) for number in (1, 2, 3)], axis=0)
    return [nearest[0], nearest[1], np.where(labels > 0, 1 - inside, nearest[0])]


def _kernel_folder(problems: list[Problem]) -> KernelFolder:
    """Folder of the compiled kernels."""
    try:
        folder = cache_folder(bounding_box)
    except Exception:  # noqa: BLE001 - Numba cannot be used, which is a problem already
        return KernelFolder(None, is_writable=False, bytes=0)
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    set_it = "set NUMBA_CACHE_DIR to a folder that can be written"
    if folder is None:
        problems.append(Problem("compiled kernels are kept nowhere, so each process compiles them again", set_it))
        return KernelFolder(None, is_writable=False, bytes=0)
    is_writable = _is_writable(folder)
    if not is_writable:
        problems.append(Problem(f"compiled kernels cannot be kept: {_tilde(folder)} cannot be written", set_it))
    elif chosen and not folder.is_relative_to(Path(chosen).absolute()):
        problems.append(Problem(f"NUMBA_CACHE_DIR={_tilde(chosen)} cannot be written, and is not used", set_it))
    sizes = [file.stat().st_size for file in folder.glob("*.nb?")] if folder.is_dir() else []
    return KernelFolder(_tilde(folder), is_writable, sum(sizes))


def _temporary(problems: list[Problem]) -> TemporaryFolder:
    """Folder of temporary files."""
    try:
        folder = Path(tempfile.gettempdir())
        status = os.statvfs(folder)
    except OSError as error:
        problems.append(Problem(f"there is no folder for temporary files: {error.strerror}", "set TMPDIR to one"))
        return TemporaryFolder(None, is_writable=False, free_bytes=0)
    is_writable = _is_writable(folder)
    if not is_writable:
        remedy = "free space there, or set TMPDIR to another folder"
        problems.append(Problem(f"temporary files: {_tilde(folder)} cannot be written", remedy))
    elif (chosen := os.environ.get("TMPDIR")) and Path(chosen).absolute() != folder:
        remedy = "set TMPDIR to a folder that can be written"
        problems.append(Problem(f"TMPDIR={_tilde(chosen)} cannot be written, and is not used", remedy))
    return TemporaryFolder(_tilde(folder), is_writable, status.f_bavail * status.f_frsize)


def _is_writable(folder: Path) -> bool:
    """True if a file can be made and filled; permissions alone say little of a full or read-only disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError:
        return False
    return True


def _worker_problems() -> Iterator[Problem]:
    """A process that does not start."""
    try:
        with closing(Processes(1)) as processes:
            processes.submit(os.getpid).result(START_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever the system may raise
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        remedy = "use --workers 1 (workers=1), and check the limits of processes and of /dev/shm"
        yield Problem(f"worker processes do not start: {reason}", remedy)


def _tilde(path: object) -> str:
    """Path, or several, in which the home folder is ``~``: a report names nobody."""
    home = str(Path.home())
    return str(path).replace(home, "~") if len(home) > 1 else str(path)
