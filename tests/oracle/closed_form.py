"""Numbers that any language can compute from a name and an index, so that no random state is shared."""

import numpy

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
SIXTY_FOUR_BITS = (1 << 64) - 1


def fnv1a64(name):
    digest = FNV_OFFSET
    for byte in name.encode("utf-8"):
        digest = ((digest ^ byte) * FNV_PRIME) & SIXTY_FOUR_BITS
    return digest


def splitmix64_finalizer(state):
    state = (state ^ (state >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return state ^ (state >> numpy.uint64(31))


def hashes(name, count):
    """The 64-bit hashes of the indices 0 .. count - 1 under this name."""
    one_based = numpy.arange(1, count + 1, dtype=numpy.uint64)
    return splitmix64_finalizer(numpy.uint64(fnv1a64(name)) + one_based * numpy.uint64(GOLDEN_GAMMA))


def values(name, shape, scale):
    """Values in [-scale, scale), in double precision, in row-major order of the index."""
    count = int(numpy.prod(shape))
    unit = (hashes(name, count) >> numpy.uint64(40)).astype(numpy.float64) / 2.0**24
    return (scale * (unit - 0.5) * 2.0).reshape(shape)
