"""Bad requests get the right errno, and the connection goes on.

Parameters: uri, size, seed.
"""

size = P["size"]
for structured in (True, False):
    h = connect(strict=False, structured=structured, block_size=False, contexts=True)
    before = h.pread(4096, size - 4096)
    for length, offset in ((512, size), (1024, size - 512), (1, size), (4096, size + 4096),
                           (512, 2**62), (512, 2**63 - 512), (512, 2**64 - 512), (65536, 2**64 - 1)):
        fails("EINVAL", h.pread, length, offset)
        fails("ENOSPC", h.pwrite, bytes(length), offset)
        fails("ENOSPC", h.zero, length, offset)
        fails("EINVAL", h.trim, length, offset)
        fails("EINVAL", h.cache, length, offset)
        if structured:
            fails("EINVAL", h.block_status, length, offset, lambda *ignored: 0)
    # The longest lengths a header can carry.
    fails("ENOSPC", h.zero, 2**32 - 1, 512)
    fails("EINVAL", h.trim, 2**32 - 1, 512)
    fails("EINVAL", h.cache, 2**32 - 1, 512)
    # A request that reaches past the end changes nothing, not even the part before it.
    fails("ENOSPC", h.pwrite, b"x" * 4096, size - 2048)
    fails("ENOSPC", h.zero, 4096, size - 2048)
    equal(h.pread(4096, size - 4096), before, "the device's end after refused writes")
    h.pwrite(b"y" * 4096, size - 4096)
    equal(h.pread(4096, size - 4096), b"y" * 4096, "the connection goes on")
    h.pwrite(before, size - 4096)
    h.shutdown()

# A client that asked for block sizes has to keep to them; one that does not gets a clean answer.
h = connect(strict=False)
minimum = h.get_block_size(nbd.SIZE_MINIMUM)
if minimum > 1:
    data = h.pread(4 * minimum, 0)
    for length, offset in ((minimum, 1), (minimum + 1, 0), (1, minimum - 1)):
        try:
            equal(h.pread(length, offset), data[offset:offset + length], "misaligned read")
        except nbd.Error as error:
            equal(error.errno, "EINVAL", "misaligned read")
    try:
        h.pwrite(data[1:1 + minimum], 1)
    except nbd.Error as error:
        equal(error.errno, "EINVAL", "misaligned write")
    equal(h.pread(4 * minimum, 0), data, "after misaligned requests")
h.shutdown()
