"""Triton kernels compiled for Hopper on this machine: no spills, and they fit into the chip."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed: nothing to compile with")
from benchmarks.triton_resources import norm_plans


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
    products = {"product", "gates", "gates_back", "product_back"}
    norms = {"partial_moments", "normalise", "partial_gradients", "input_gradient"}
    assert {row["kernel"] for row in rows} == products | norms
    for row in rows:
        assert row["spill_bytes"] == 0, row
        assert row["shared_bytes"] <= 227 * 1024, row
        is_product = row["kernel"] in products
        # bfloat16 goes through Hopper's own matrix instructions
        assert (row["wgmma"] > 0) == (is_product and row["dtype"] == "bf16"), row
    full = [row for row in rows if row["kernel"] in norms and row["wide_loads"]]
    assert len(full) == 16  # the others have one channel
    for row in full:
        assert row["wide_loads"] == row["loads"], row
        # two programs of eight warps, or four of four, share 65,536 registers
        assert row["registers"] <= 128, row


def test_every_row_and_channel_of_a_batch_norm_is_in_one_split_and_slab():
    for tensors in (1, 2):
        for plan in norm_plans(2, tensors):
            assert plan.splits <= 64
            assert (plan.splits - 1) * plan.rows_per_split < plan.rows
            assert plan.splits * plan.rows_per_split >= plan.rows
            firsts = [first for first, _ in plan.slabs()]
            assert firsts == list(range(0, plan.channels, plan.slab))
            covered = sum(grid[0] for _, grid in plan.slabs()) * plan.block_channels
            assert covered == plan.channels
            fits = plan.rows * plan.groups * plan.slab * 2 * tensors <= 30 << 20
            assert fits or plan.slab == plan.block_channels
            assert all(grid[0] * grid[1] * grid[2] <= 1024 for _, grid in plan.slabs())
