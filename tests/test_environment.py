"""One source of dependencies, verified pins, lean tracked files."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

LARGEST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(repository):
    lines = (repository / "constraints.txt").read_text().split()
    return {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}


def test_every_dependency_has_a_pin_that_satisfies_it(project, pins):
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for text in wanted:
        requirement = Requirement(text)
        version = pins[canonicalize_name(requirement.name)]
        assert version, f"{text} is not pinned exactly"
        assert requirement.specifier.contains(version), text


def test_torch_is_pinned_exactly_and_any_recent_one_is_accepted(project, pins):
    assert pins["torch"] == "2.13.0"
    torch = next(r for r in map(Requirement, project["dependencies"]) if r.name == "torch")
    assert all(torch.specifier.contains(version) for version in ("2.6.0", "2.11.0", "2.13.0"))


def test_conda_and_pip_install_the_same(repository, project):
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert SpecifierSet(project["requires-python"]).contains(python.partition("=")[2] + ".0")
    assert pip == "pip"
    assert section["pip"] == ["-c constraints.txt", "-e .[dev]"]


def test_tracked_files_are_lean_and_name_no_machine(repository):
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "-z"], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = repository / name
        if not path.is_file():
            continue
        assert path.suffix != ".ipynb", name
        if not name.startswith("radford_lib/weights/"):
            assert path.stat().st_size <= LARGEST_BYTES, name
        if path.suffix in {".py", ".md", ".yml", ".toml", ".txt", ".cff", ".css", ".json"}:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(work|root|home)/\w", text), name
