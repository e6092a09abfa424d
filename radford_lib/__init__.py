"""Two Radford papers, reproduced: the library that the book's chapters import.

Importing it costs nothing: submodules load torch only when asked for.
"""

import os

# libgomp's spinning wait makes small torch operations up to 30 times slower on
# shared cores; it is read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
