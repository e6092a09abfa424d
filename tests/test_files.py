"""Files are whole or absent."""

import pytest

from radford_lib.errors import RadfordError
from radford_lib.files import atomic_path, sha256_file, sha256_tree, write_text


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "results.json"
    write_text(target, "old")

    def interrupted():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        interrupted()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_write_into_a_file_used_as_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RadfordError, match="cannot write"):
        write_text(tmp_path / "file" / "x.json", "x")


def test_hashes_follow_names_and_contents(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert sha256_file(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    before = sha256_tree([tmp_path / "a"], tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_tree([tmp_path / "b"], tmp_path) != before
