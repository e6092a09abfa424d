"""A tiny book in a folder, for tests of the pipeline: two chapters, a profile, a site."""

import pathlib
import shutil
import subprocess
import sys

CONFIG = ("_config.yml", "references.bib")

GOOD = """# %% [markdown]
# # {title}
#
# Half of it is {{result}}`{item}.accuracy:.1%`, and see {{numref}}`fig-{name}`, $x^2$.

# %% tags=["parameters"]
steps: int = 5  # how many
seed: int = 0
note: str = "none"

# %% mystnb={{"figure": {{"caption": "It rises.", "name": "fig-{name}"}}, "image": {{"alt": "A rising line", "classes": "dark-light"}}}} tags=["hide-input"]
from radford_lib.book import record
import matplotlib.pyplot as plt

record("{item}", "accuracy", steps / 10, n=steps, seed=seed, unit="fraction")
plt.plot([0, steps])
plt.show()
"""


def make(folder: pathlib.Path, repository: pathlib.Path) -> pathlib.Path:
    """Write the book: chapters ``a/one`` and ``b/two`` with profile ``smoke``; returns its root."""
    (folder / "profiles" / "smoke" / "a").mkdir(parents=True)
    (folder / "profiles" / "cpu").mkdir()
    (folder / "assets").mkdir()
    for name in CONFIG:
        shutil.copy(repository / name, folder / name)
    for asset in ("custom.css", "favicon.svg"):
        shutil.copy(repository / "assets" / asset, folder / "assets" / asset)
    write_chapter(folder, "a/one", "One", "D-T1")
    write_chapter(folder, "b/two", "Two", "S-E2")
    (folder / "chapters" / "index.md").write_text("# Mini\n\nTwo is {result}`S-E2.accuracy:.0%`.\n")
    (folder / "profiles" / "smoke" / "a" / "one.yml").write_text("steps: 4\n")
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/index\noptions: {numbered: true}\n"
        "chapters:\n  - file: chapters/a/one\n  - file: chapters/b/two\n"
    )
    return folder


def write_chapter(folder: pathlib.Path, chapter: str, title: str, item: str) -> pathlib.Path:
    """Write one chapter that records ``item.accuracy`` and draws one figure."""
    path = folder / "chapters" / f"{chapter}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(GOOD.format(title=title, item=item, name=title.lower()))
    return path


def radford(folder: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the ``radford`` command inside a book, as a user would."""
    tool = pathlib.Path(sys.executable).with_name("radford")
    return subprocess.run([str(tool), *arguments], cwd=folder, capture_output=True, text=True)
