"""Set-up shared by all tests; runs before anything imports torch."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "agg")

import pathlib
import shutil
from types import SimpleNamespace

import pytest
import torch

# Without a GPU Triton's kernels are interpreted; it reads this when it is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = pathlib.Path(__file__).resolve().parents[1]


def real_data_folder() -> pathlib.Path | None:
    """The folder of real packs, if RADFORD_DATA names one that exists."""
    named = os.environ.get("RADFORD_DATA")
    folder = pathlib.Path(named) if named else ROOT.parent / "shared" / "data"
    return folder.resolve() if folder.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    without_data = real_data_folder() is None
    for item in items:
        if without_data and "real_data" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no real packs: set RADFORD_DATA"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    folder = real_data_folder()
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory: pytest.TempPathFactory, repository: pathlib.Path):
    """The real book in a folder of its own, every chapter run once under the smoke profile.

    ``book``: the ``Book``; ``outcomes``: how each chapter went, by name.
    """
    from radford_lib.book import runs
    from radford_lib.book.layout import Book

    root = tmp_path_factory.mktemp("smoke")
    for name in ("chapters", "profiles", "assets", "results"):
        shutil.copytree(repository / name, root / name)
    for name in ("_config.yml", "_toc.yml", "references.bib"):
        shutil.copy(repository / name, root / name)
    book = Book(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADFORD_CHECKPOINTS", str(root / "checkpoints"))
        outcomes = {o.chapter: o for o in runs.run(book, "smoke", progress=False)}
    return SimpleNamespace(book=book, outcomes=outcomes)


@pytest.fixture(scope="session")
def smoke_site(smoke_book: SimpleNamespace) -> pathlib.Path:
    """Folder of the real book's HTML, built strictly from the smoke runs."""
    from radford_lib.book.build import build

    return build(smoke_book.book, "smoke").parent
