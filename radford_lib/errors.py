"""Errors a user can act on: one line that says what is wrong and what to do."""


class RadfordError(Exception):
    """Something failed for a reason the user can mend; the command exits with ``exit_code``."""

    exit_code = 1


class DivergedError(RadfordError):
    """A training run's loss is no longer a number."""


class UsageError(RadfordError):
    """The call itself is wrong: an unknown name, parameter or option."""

    exit_code = 2
