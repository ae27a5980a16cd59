"""Every way to leave: all commands sent before a disconnect are carried out.

Parameters: uri, size, seed.
"""

random.seed(P["seed"])
BLOCK = 32 * 1024
COUNT = 32
blocks = [random.randbytes(BLOCK) for _ in range(COUNT)]

# A soft disconnect behind a queue of writes: the server finishes them before it closes.
h = connect()
done = []
for index, data in enumerate(blocks):
    def completed(error, index=index):
        equal(error.value, 0, "write before disconnect")
        done.append(index)
        return 1
    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), index * BLOCK, completed)
h.shutdown()
equal(sorted(done), list(range(COUNT)), "each write was answered")

h = connect()
equal(h.pread(BLOCK * COUNT, 0), b"".join(blocks), "each write is there")
# Immediately, with commands in flight: they may or may not be carried out, whole.
fresh = [random.randbytes(BLOCK) for _ in range(COUNT)]
for index, data in enumerate(fresh):
    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), index * BLOCK)
h.shutdown(nbd.SHUTDOWN_ABANDON_PENDING)
del h

# Without any goodbye.
h = connect()
h.aio_pread(nbd.Buffer(BLOCK), 0)
del h

# In option mode: abort, and just closing.
h = negotiate()
h.opt_abort()
assert h.aio_is_closed()
h = negotiate()
del h

h = connect()
for index in range(COUNT):
    got = h.pread(BLOCK, index * BLOCK)
    assert got in (blocks[index], fresh[index]), f"block {index} is torn"
h.shutdown()
