"""Tar archives from anywhere: one line that names the fault, and nothing is written outside of the cache."""

import gzip
import tarfile

import pytest

from freqfast.data import load_data, members
from tests.support.trees import add_member, assert_holds_tree, png


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_archive_of_a_tree(make_tree, tmp_path, compression):
    tree = make_tree(tmp_path / "cifar10")
    (tree / "labels.txt").write_text("ant\nbee\n")
    (tree / "train" / "ant" / "._0.png").write_bytes(b"macOS leaves these")
    with tarfile.open(tmp_path / "archive", f"w:{compression}") as tar:
        tar.add(tree, "cifar10")
    (tree / "train" / "ant" / "._0.png").unlink()
    assert_holds_tree(load_data("cifar10", tmp_path / "archive"), tree)


@pytest.mark.parametrize("name", ["/train/ant/0.png", "a/../../train/ant/0.png"])
def test_path_that_leads_out_of_the_archive(tmp_path, refused, name):
    path = tmp_path / "deep" / "hostile.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        add_member(tar, name, png())
    before = sorted(tmp_path.rglob("*"))
    refused(path, "unsafe path")
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_are_passed_over(tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    path = tmp_path / "links.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for split in ("train", "test"):
            add_member(tar, f"d/{split}/ant/link.png", kind=tarfile.SYMTYPE, link=str(tmp_path / "secret.png"))
            add_member(tar, f"d/{split}/ant/hard.png", kind=tarfile.LNKTYPE, link="/etc/passwd")
            add_member(tar, f"d/{split}/ant/device.png", kind=tarfile.CHRTYPE)
            add_member(tar, f"d/{split}/ant/real.png", png())
    data = load_data("cifar10", path)
    assert (len(data.train), len(data.test)) == (1, 1)


def test_huge_member(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(members, "MEMBER_LIMIT", 1000)
    path = tmp_path / "huge.tgz"
    with tarfile.open(path, "w:gz") as tar:
        add_member(tar, "d/train/ant/0.png", bytes(1001))
    refused(path, "unsafe path or size")


def test_archive_that_unpacks_to_far_more_than_its_size(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(members, "_SPARE", 2**20)
    path = tmp_path / "bomb.tgz"
    with tarfile.open(path, "w:gz") as tar:
        add_member(tar, "d/zeros", bytes(2**22))
    refused(path, "it unpacks to more than .* bytes, far more than images do")


def test_member_header_that_asks_for_gigabytes(tmp_path, refused):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    path = tmp_path / "pax.tgz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    refused(path, "it asks for 4,294,967,296 bytes at once")


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


def test_archive_of_two_data_sets(tmp_path, refused):
    path = tmp_path / "two.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("a/train/ant/0.png", "a/test/ant/0.png", "b/train/ant/0.png"):
            add_member(tar, name, png())
    refused(path, r"several data sets \(a, b\)")
