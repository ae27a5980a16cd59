"""Reads, writes, zeroes, trims and caches of every alignment, against a model in memory.

Parameters: uri, size, seed, count, min_zeroes (discard really reads as zeroes).
"""

random.seed(P["seed"])
size = P["size"]
h = connect(block_size=False, contexts=True)
equal(h.get_size(), size, "size")
model = bytearray(h.pread(size, 0))
equal(model, bytearray(size), "a fresh device reads as zeroes")

LENGTHS = [1, 2, 3, 511, 512, 513, 1023, 4095, 4096, 4097, 8191, 65535, 65536, 65537,
           128 * 1024 + 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1]


def place(length):
    offsets = [0, 1, 511, 512, 513, 4095, 4096, size - length, size - length - 1,
               random.randrange(size - length)]
    return random.choice(offsets)


def write(length, offset, flags=0):
    data = random.randbytes(length)
    h.pwrite(data, offset, flags)
    model[offset:offset + length] = data


def zero(length, offset, flags=0):
    try:
        h.zero(length, offset, flags)
    except nbd.Error as error:
        # A fast zero may be refused, and then must have changed nothing.
        assert flags & nbd.CMD_FLAG_FAST_ZERO and error.errno in ("ENOTSUP", "EOPNOTSUPP"), error
        return
    model[offset:offset + length] = bytes(length)


def trim(length, offset, flags=0):
    h.trim(length, offset, flags)
    # Each byte is now zero or what it was: nothing else is allowed, so take what is there.
    before = model[offset:offset + length]
    after = h.pread(length, offset)
    for index in range(0, length, 512):
        old, new = before[index:index + 512], after[index:index + 512]
        assert new == old or not any(b for a, b in zip(old, new) if a != b), \
            f"trim of {length} at {offset} invented bytes at {offset + index}"
    model[offset:offset + length] = after


zero_flags = [0, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE]
if h.can_fast_zero():
    zero_flags += [nbd.CMD_FLAG_FAST_ZERO, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE]

for length in LENGTHS:
    write(length, place(length))
    offset = place(length)
    equal(h.pread(length, offset), model[offset:offset + length], f"{length} bytes at {offset}")

for _ in range(P["count"]):
    length = random.choice(LENGTHS)
    offset = place(length)
    kind = random.randrange(8)
    if kind < 2:
        write(length, offset, random.choice([0, nbd.CMD_FLAG_FUA]))
    elif kind < 4:
        equal(h.pread(length, offset), model[offset:offset + length], f"{length} at {offset}")
    elif kind < 6:
        zero(length, offset, random.choice(zero_flags))
    elif kind < 7:
        trim(length, offset, random.choice([0, nbd.CMD_FLAG_FUA]))
    else:
        h.cache(length, offset)
        h.flush()
equal(h.pread(size, 0), model, "the whole device")

# Another connection, with simple replies, sees the same.
simple = connect(structured=False, block_size=False)
assert not simple.get_structured_replies_negotiated()
for length in (1, 4096, 65537, 1024 * 1024 + 1):
    offset = place(length)
    equal(simple.pread(length, offset), model[offset:offset + length], "simple reply")
data = random.randbytes(70001)
simple.pwrite(data, 333)
model[333:333 + len(data)] = data
simple.flush()
equal(h.pread(size, 0), model, "after writes by simple replies")
simple.shutdown()
h.shutdown()
