"""From chapter to page: papermill runs, recorded results, the published book.

Papermill imports this package whenever it is imported itself (the ``jupytext://`` entry point), so
nothing heavy, and nothing of papermill, is loaded here.
"""

from radford_lib.book.results import record

__all__ = ["record"]
