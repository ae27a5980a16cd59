"""What the export announces, and what each flag and reply form does.

Parameters: uri, size, seed.
"""

random.seed(P["seed"])
size = P["size"]
h = connect(contexts=True)
assert h.get_structured_replies_negotiated()
assert h.can_flush() and h.can_fua() and h.can_trim() and h.can_zero()
assert h.can_df() and h.can_cache() and h.can_multi_conn()
assert not h.is_read_only() and not h.is_rotational()
assert h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
assert not h.can_meta_context("unknown:context")

minimum = h.get_block_size(nbd.SIZE_MINIMUM)
preferred = h.get_block_size(nbd.SIZE_PREFERRED)
maximum = h.get_block_size(nbd.SIZE_MAXIMUM)
assert minimum in (1, 512, 4096), minimum
assert preferred >= 512 and preferred >= minimum and preferred & (preferred - 1) == 0, preferred
assert maximum >= 1024 * 1024, maximum

# A read in any number of chunks covers its range exactly once; with DF it is one chunk.
data = random.randbytes(1024 * 1024)
h.pwrite(data, 0)
h.trim(256 * 1024, 256 * 1024)
h.zero(256 * 1024, 768 * 1024)


def chunks(handle, length, offset, flags=0):
    found = []

    def collect(part, start, kind, error):
        equal(error.value, 0, "chunk error")
        assert kind in (nbd.READ_DATA, nbd.READ_HOLE), kind
        if kind == nbd.READ_HOLE:
            assert not any(part), "a hole that is not zero"
        found.append((start, len(part), kind))

    handle.pread_structured(length, offset, collect, flags)
    return sorted(found)


whole = h.pread(1024 * 1024, 0)
equal(whole[:256 * 1024], data[:256 * 1024], "before the trim")
equal(whole[512 * 1024:768 * 1024], data[512 * 1024:768 * 1024], "between trim and zero")
equal(whole[768 * 1024:], bytes(256 * 1024), "after the zero")
at = 0
for start, length, _ in chunks(h, 1024 * 1024, 0):
    equal(start, at, "chunks neither overlap nor leave gaps")
    at += length
equal(at, 1024 * 1024, "all chunks")
for length, offset in ((512, 0), (65536, 256 * 1024 - 4096), (4096, 768 * 1024 - 512)):
    found = chunks(h, length, offset, nbd.CMD_FLAG_DF)
    equal([(start, count) for start, count, _ in found], [(offset, length)], "DF")

# Block status: covers from the offset on; REQ_ONE gives one extent that ends within the request.
everything = all_extents(h, size)
equal(sum(length for _, length, _ in everything), size, "the map covers the device")
for start, length, state in everything:
    assert state in (0, nbd.STATE_ZERO, nbd.STATE_HOLE | nbd.STATE_ZERO), state
    if state & nbd.STATE_ZERO:
        assert not any(h.pread(length, start)), f"extent at {start} claims zeroes"
for length, offset in ((size, 0), (4096, 0), (300 * 1024, 100 * 1024), (512, size - 512)):
    one = extents(h, length, offset, nbd.CMD_FLAG_REQ_ONE)
    assert len(one) == 1 and 0 < one[0][0] <= length, one

# Without structured replies there is no DF and no block status, and reads still work.
simple = connect(structured=False, contexts=True)
assert not simple.can_df() and not simple.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
equal(simple.pread(1024 * 1024, 0), whole, "simple reply")
simple.shutdown()

# The oldest handshake, EXPORT_NAME, with and without its 124 zeroes.
for flags in (0, nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE, nbd.HANDSHAKE_FLAG_NO_ZEROES):
    old = nbd.NBD()
    old.set_handshake_flags(flags)
    old.connect_uri(P["uri"])
    equal(old.get_size(), size, "size by EXPORT_NAME")
    equal(old.pread(4096, 0), whole[:4096], "read after EXPORT_NAME")
    old.shutdown()
h.shutdown()
