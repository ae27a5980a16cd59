"""Several connections to one export: a flush on any covers the writes answered on all.

Parameters: uri, size, seed, below (a file that shows what has really been flushed, or "").
"""

random.seed(P["seed"])
handles = [connect() for _ in range(4)]
assert all(h.can_multi_conn() for h in handles)
BLOCK = 64 * 1024


def below(length, offset):
    with open(P["below"], "rb") as file:
        file.seek(offset)
        return file.read(length)


for turn in range(8):
    written = []
    for index, h in enumerate(handles):
        offset = (turn * len(handles) + index) * BLOCK
        data = random.randbytes(BLOCK)
        h.pwrite(data, offset)
        written.append((offset, data))
    handles[turn % 4].flush()
    for offset, data in written:
        reader = handles[(turn + 1) % 4]
        equal(reader.pread(BLOCK, offset), data, "read on another connection")
        if P["below"]:
            equal(below(BLOCK, offset), data, "flushed by another connection")
    # FUA needs no flush at all.
    offset = (64 + turn) * BLOCK
    data = random.randbytes(BLOCK)
    handles[turn % 4].pwrite(data, offset, nbd.CMD_FLAG_FUA)
    if P["below"]:
        equal(below(BLOCK, offset), data, "FUA")

# Overlapped commands on all of them at once.
expected = {}
answers = []


def answered(error):
    answers.append(error.value)
    return 1


for index, h in enumerate(handles):
    for slot in range(16):
        offset = (128 + index * 16 + slot) * 8192
        data = random.randbytes(8192)
        expected[offset] = data
        h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset, answered)
for h in handles:
    while h.aio_in_flight():
        h.poll(-1)
equal(answers, [0] * len(expected), "asynchronous writes")
for offset, data in expected.items():
    equal(handles[0].pread(8192, offset), data, "asynchronous write")

# One connection that goes away without a word leaves the others alone.
del handles[3]
handles[0].pwrite(b"z" * 512, 0)
equal(handles[1].pread(512, 0), b"z" * 512, "after a lost connection")
