"""MathJax served from the built book itself, so that formulas need no network."""

import importlib.util
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# What a page asks for, 2 of the package's 24 MB
PARTS = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2")
PATH = "mathjax/tex-chtml.js"


def copy_mathjax(app: Sphinx) -> None:
    """Copy MathJax from the sphinx-mathjax-offline package into the site's ``_static``."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is not installed: pip install -e .")
    source = Path(spec.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / part, target / part)
