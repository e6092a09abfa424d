"""Compile the C++ kernels on first use, keep the library in the cache, and load it.

The library has a plain C interface and is called through ctypes. So it needs a C++ compiler with
OpenMP and nothing else (no headers of Python or torch, no ninja), is made in seconds, and fits any
version of both.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from radford_lib.cache import cached_folder
from radford_lib.errors import RadfordError
from radford_lib.files import sha256_tree

COMPILERS = ("c++", "g++", "clang++")
# Contraction is what turns a product and a sum into one fused operation; the rest is usual.
FLAGS = ("-std=c++17", "-O3", "-fopenmp", "-shared", "-fPIC", "-ffp-contract=fast")
# What a compiler calls "for the very machine it runs on" differs; the last is for one with neither.
THIS_MACHINE = (("-march=native",), ("-mcpu=native",), ())
BUILD_SECONDS = 300
FILE_NAME = "recurrence.so"

_SOURCES = Path(__file__).parent


@functools.cache
def library() -> ctypes.CDLL:
    """The kernels, compiled if they are not in the cache.

    Raises ``RadfordError`` where there is no compiler, where it fails, or where what it made cannot
    be loaded.
    """
    path = cached_folder(f"native/{_key()}", _build) / FILE_NAME
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise RadfordError(f"the compiled kernels cannot be loaded: {error}") from error
    for function in (loaded.radford_panel, loaded.radford_narrow):
        function.restype = ctypes.c_int64
    loaded.radford_narrow.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return loaded


def _key() -> str:
    """Names what decides the library: its sources, how they are compiled, and for which machine."""
    digest = hashlib.sha256(sha256_tree(_source_files(), _SOURCES).encode())
    digest.update(repr((_compiler(), FLAGS, THIS_MACHINE, _processor())).encode())
    return digest.hexdigest()[:16]


def _source_files() -> list[Path]:
    return [path for path in _SOURCES.iterdir() if path.suffix in (".cpp", ".h")]


def _processor() -> str:
    """What this machine's instructions are: a cache may be shared with machines that lack some."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    telling = ("model name", "flags", "Features", "CPU part")
    return " ".join([platform.machine(), *sorted({x for x in lines if x.startswith(telling)})])


def _compiler() -> tuple[str, ...] | None:
    """The command that ``CXX`` gives, else the first compiler that is installed."""
    named = shlex.split(os.environ.get("CXX", ""))
    if named:
        return tuple(named) if shutil.which(named[0]) else None
    return next(((name,) for name in COMPILERS if shutil.which(name)), None)


def _build(folder: Path) -> None:
    """Compile into ``folder``, for this very machine if the compiler knows how."""
    compiler = _compiler()
    if compiler is None:
        wanted = os.environ.get("CXX") or f"one of {', '.join(COMPILERS)}"
        raise RadfordError(f"no C++ compiler was found ({wanted}): install one, or set CXX")
    complaints = []
    for machine in THIS_MACHINE:
        command = [*compiler, *FLAGS, *machine, str(_SOURCES / "recurrence.cpp")]
        complaint = _run([*command, "-o", str(folder / FILE_NAME)])
        if complaint is None:
            return
        complaints.append(complaint)
    raise RadfordError(f"{' '.join(compiler)} cannot compile the kernels: {complaints[-1]}")


def _run(command: list[str]) -> str | None:
    """None where ``command`` succeeds, else what is wrong, in one line."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=BUILD_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if "error" in line] or [
        f"exit status {done.returncode}"
    ]
    return lines[0]
