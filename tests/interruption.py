"""Stopping a training run in the middle, as Ctrl-C would."""

import contextlib

import pytest


@contextlib.contextmanager
def interrupted_at_checkpoint(training, number=5):
    """Interrupt what runs inside once ``training``, a module, has saved ``number`` checkpoints."""
    save, saves = training.save_checkpoint, []

    def save_or_die(*args):
        save(*args)
        saves.append(args)
        if len(saves) == number:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "save_checkpoint", save_or_die)
        with pytest.raises(KeyboardInterrupt):
            yield
