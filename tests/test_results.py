"""Recording and collecting results."""

import nbformat
import numpy as np
import pytest
import torch

from radford_lib.book.results import MIME, collect, plain, record
from radford_lib.errors import RadfordError, UsageError


def notebook(*entries):
    outputs = [nbformat.v4.new_output("display_data", data={MIME: entry}) for entry in entries]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])


def test_scalars_of_any_kind_become_plain_numbers():
    assert plain(np.float64(0.5)) == 0.5
    assert type(plain(np.int64(3))) is int
    assert plain(torch.tensor(0.25)) == 0.25
    assert plain("unit 7") == "unit 7"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, [1], None])
def test_what_is_no_result_is_refused(value):
    with pytest.raises(UsageError):
        plain(value)


def test_results_are_read_back_by_key():
    found = collect(notebook({"key": "D-T1.a", "item": "D-T1", "metric": "a", "value": 1}))
    assert found["D-T1.a"]["value"] == 1


def test_a_result_recorded_twice_is_an_error():
    entry = {"key": "D-T1.a", "item": "D-T1", "metric": "a", "value": 1}
    with pytest.raises(RadfordError, match="recorded twice"):
        collect(notebook(entry, entry))


def test_outside_a_notebook_a_result_is_printed(capsys):
    record("D-T1", "accuracy", 0.5)
    assert capsys.readouterr().out == "D-T1.accuracy = 0.5\n"
