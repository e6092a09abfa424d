"""Runs too large for a chapter, one command each: ``python -m radford_lib.experiments.NAME``.

They are made for a machine that is lent for minutes: see ``scripts/h200``. What they write is taken
into the book by ``radford results import``.
"""
