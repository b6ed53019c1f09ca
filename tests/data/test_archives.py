"""Tar archives from anywhere: one line that names the fault, and nothing is written outside of the cache."""

import tarfile
from dataclasses import replace

import pytest

from freqfast.data import archives, load_data
from tests.support.trees import add_member, assert_holds_tree, png


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_archive_of_a_tree(make_tree, tmp_path, compression, cache_folder):
    tree = make_tree(tmp_path / "test")
    (tree / "labels.txt").write_text("ant\nbee\n")
    (tree / "train" / "ant" / "._0.png").write_bytes(b"macOS leaves these")
    with tarfile.open(tmp_path / "archive", f"w:{compression}") as tar:
        tar.add(tree, "my/data/test")
    (tree / "train" / "ant" / "._0.png").unlink()
    calls = []
    assert_holds_tree(load_data("cifar10", tmp_path / "archive", lambda *call: calls.append(call)), tree)
    assert len(list(cache_folder.iterdir())) == 1  # what was unpacked has gone
    assert calls[0][2] == "unpacking archive"
    assert calls[-1] == (6, 6, "decoding images")


def test_an_archive_has_the_order_of_its_tree(make_tree, tmp_path, pack, assert_same):
    tree = make_tree(count=40)
    data = load_data("cifar10", tree)
    assert_same(load_data("cifar10", pack(tree, tmp_path / "again.tgz")), replace(data, name="again.tgz"))
    with tarfile.open(tmp_path / "back.tar", "w") as tar:
        for path in sorted(tree.rglob("*.png"), reverse=True):
            tar.add(path, f"tree/{path.relative_to(tree)}")
    assert_same(load_data("cifar10", tmp_path / "back.tar"), replace(data, name="back.tar"))


def test_a_file_that_was_added_again_replaces_the_earlier_one(make_tree, tmp_path):
    """As `tar --update` does: an archive holds what its files are once it is unpacked."""
    tree = make_tree(tmp_path / "cifar10")
    changed = tree / "train" / "ant" / "1.png"
    with tarfile.open(tmp_path / "archive.tar", "w") as tar:
        tar.add(tree, "cifar10")
        changed.write_bytes(png((8, 6)))
        tar.add(changed, "./cifar10/train/ant/1.png")
    assert_holds_tree(load_data("cifar10", tmp_path / "archive.tar"), tree)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([{"name": "a/../../0.png"}], "not a valid tar archive: .* would be extracted to .* outside the destination"),
        ([{"name": "d/0.png", "kind": tarfile.SYMTYPE, "link": "../../secret"}], "valid tar archive: .* outside the"),
        ([{"name": "d/0.png", "kind": tarfile.CHRTYPE}], "not a valid tar archive: .* is a special file"),
        ([{"name": f"d/{i}", "content": bytes(2**20)} for i in range(4)], "it unpacks to more than .* bytes, far more"),
        ([{"name": f"{name}/0.png"} for name in ("a/train", "a/test", "b/train", "b/val")], "but holds [ab], [ab]$"),
        ([{"name": "d/0.png"}], "must hold one folder of training and test images, but holds none$"),
        ([{"name": f"d/{name}/0.png"} for name in ("train/a", "train/b", "test/a")], ": d/train/[ab]/0.png cannot be"),
    ],
    ids=["path that leads out", "link that leads out", "device", "bomb", "two data sets", "no data set", "no image"],
)
def test_unsound_archive(tmp_path, monkeypatch, refused, members, message):
    monkeypatch.setattr(archives, "_SPARE", 2**21)
    path = tmp_path / "deep" / "hostile.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            add_member(tar, **member)
    before = sorted(tmp_path.rglob("*"))
    refused(path, message)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "cache") == before


def test_no_archive_and_one_cut_anywhere_or_with_a_wrong_byte_anywhere(make_tree, tmp_path, pack, refused):
    """Most cuts fall between two members at some length; an archive must never pass for a smaller one."""
    path = pack(make_tree(count=2), tmp_path / "a.tgz")
    content = path.read_bytes()
    damaged = [b"", b"\x1f\x8b not gzip"]
    for position in range(20, len(content) - 8, 127):
        wrong = bytearray(content)
        wrong[position] ^= 0x55
        damaged += [content[:position], wrong]
    for bad in damaged:
        path.write_bytes(bad)
        refused(path, "not a valid tar archive")
