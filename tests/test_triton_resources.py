"""Triton kernels compiled for Hopper on this machine: no spills, and they fit into the chip."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed: nothing to compile with")


def test_every_tile_of_the_table_fits_hopper(repository, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.triton_resources", "--json"],
        cwd=repository,
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, [r for r in rows if r["spill_bytes"]] or done.stderr
    assert {row["kernel"] for row in rows} == {"product", "gates", "gates_back", "product_back"}
    for row in rows:
        assert row["spill_bytes"] == 0, row
        assert row["shared_bytes"] <= 227 * 1024, row
        # bfloat16 goes through Hopper's own matrix instructions
        assert (row["wgmma"] > 0) == (row["dtype"] == "bf16"), row
