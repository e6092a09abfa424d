"""Lets papermill read percent scripts: ``papermill jupytext://chapters/x.py out.ipynb``."""

import warnings
from pathlib import Path

# papermill expects .ipynb or .json and warns of any other suffix, ours included
warnings.filterwarnings("ignore", message=r"The specified file \(jupytext://", category=UserWarning)


class JupytextHandler:
    """Read-only handler for papermill's ``papermill.io`` entry-point group."""

    SCHEME = "jupytext://"

    @classmethod
    def read(cls, path: str) -> str:
        """The percent script at ``path`` as notebook JSON; ``click.FileError`` if there is none."""
        import click
        import jupytext
        import nbformat

        source = Path(path.removeprefix(cls.SCHEME))
        if not source.is_file():
            raise click.FileError(str(source), hint="no such chapter")
        notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
        # without it papermill asks for -k
        notebook.metadata.setdefault(
            "kernelspec", {"name": "python3", "display_name": "Python 3", "language": "python"}
        )
        return nbformat.writes(notebook)

    @classmethod
    def pretty_path(cls, path: str) -> str:
        """The path as papermill shows it."""
        return path

    @classmethod
    def listdir(cls, path: str) -> list[str]:
        """Not supported: percent scripts are named one by one."""
        raise NotImplementedError("jupytext:// lists no folders")

    @classmethod
    def write(cls, buf: str, path: str) -> None:
        """Not supported: the executed notebook goes to an .ipynb path."""
        raise NotImplementedError("jupytext:// is read only: give an .ipynb path as output")
