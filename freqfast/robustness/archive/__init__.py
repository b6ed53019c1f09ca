"""A corrupted test set on disk.

`layout` knows the files in a folder of corrupted images, and the manifest that says what they were made from. `writing`
corrupts a test set into such a folder, file by file, and goes on where an earlier call stopped. `reading` makes a
`CellSource` of a folder, whose images are mapped into memory when their turn comes. `published` gets the archive of
CIFAR-10-C, checks it and unpacks it, once, into a folder of the cache that `reading` reads.
"""
