"""Image trees: small images, members of archives, and what a data set made of a tree must hold."""

import io
import tarfile

import numpy as np
from PIL import Image


def png(size=(8, 6), mode="RGB"):
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def add_member(archive, name, content=b"", kind=tarfile.REGTYPE, link=""):
    """Add a member to an open tar archive."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, link
    archive.addfile(member, io.BytesIO(content))


def assert_holds_tree(data, tree, test_split="test"):
    """Every image of the tree is there once, under its class, and nothing else."""
    for images, split in ((data.train, "train"), (data.test, test_split)):
        pairs = zip(images.images, images.labels, strict=True)
        found = {(data.classes[label], image.tobytes()) for image, label in pairs}
        paths = list((tree / split).glob("*/*"))
        assert found == {(p.parent.name, np.asarray(Image.open(p).convert("RGB")).tobytes()) for p in paths}
        assert len(images) == len(paths)
