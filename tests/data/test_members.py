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


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"/train/ant/0.png": png()}, "unsafe path"),
        ({"a/../../train/ant/0.png": png()}, "unsafe path"),
        ({"d/train/ant/0.png": bytes(2**20 + 1)}, "unsafe path or size"),
        ({f"d/{i}": bytes(2**20) for i in range(4)}, "it unpacks to more than .* bytes, far more than images do"),
        ({f"{name}/ant/0.png": png() for name in ("a/train", "a/test", "b/train")}, r"several data sets \(a, b\)"),
    ],
    ids=["absolute path", "path that leads out", "huge member", "bomb", "two data sets"],
)
def test_unsound_archive(tmp_path, monkeypatch, refused, contents, message):
    monkeypatch.setattr(members, "MEMBER_LIMIT", 2**20)
    monkeypatch.setattr(members, "_SPARE", 2**21)
    path = tmp_path / "deep" / "hostile.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            add_member(tar, name, content)
    before = sorted(tmp_path.rglob("*"))
    refused(path, message)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("link.png", tarfile.SYMTYPE, "{folder}/secret.png"),
        ("hard.png", tarfile.LNKTYPE, "d/train/ant/real.png"),  # as tar packs the second of two equal files
        ("device.png", tarfile.CHRTYPE, ""),
    ],
)
def test_links_and_devices_in_place_of_images_are_refused(name, kind, link, tmp_path, refused):
    (tmp_path / "secret.png").write_bytes(png())
    path = tmp_path / "links.tgz"
    for member in (name, "notes.txt"):
        with tarfile.open(path, "w:gz") as tar:
            for split in ("train", "test"):
                add_member(tar, f"d/{split}/ant/real.png", png())
                add_member(tar, f"d/{split}/ant/{member}", kind=kind, link=link.format(folder=tmp_path))
        if member == name:
            refused(path, f"member 'd/train/ant/{name}' is no regular file, nor is a link followed; pack the files")
    assert len(load_data("cifar10", path).train) == 1


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
    ("kind", "message"),
    [(tarfile.XHDTYPE, "it asks for 4,294,967,296 bytes at once"), (tarfile.REGTYPE, "it unpacks to more than")],
)
def test_member_header_that_asks_for_gigabytes(kind, message, tmp_path, refused):
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, 2**32
    path = tmp_path / "pax.tgz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    refused(path, message)


def test_sparse_member(tmp_path, refused):
    """It may have any size, whatever the archive holds of it."""
    with tarfile.open(tmp_path / "sparse.tar", "w") as tar:
        add_member(tar, "d/train/ant/0.png", kind=tarfile.GNUTYPE_SPARSE)
    refused(tmp_path / "sparse.tar", "unsafe path or size")


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
