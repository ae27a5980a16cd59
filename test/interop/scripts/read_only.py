"""A read-only export announces nothing that writes, and refuses it with EPERM.

Parameters: uri, size.
"""

h = connect(strict=False, block_size=False, contexts=True)
assert h.is_read_only()
assert not h.can_trim() and not h.can_zero() and not h.can_fast_zero()
assert h.can_multi_conn() and h.can_df()
equal(h.pread(4, 0), b"DATA", "what the file holds")
for call, arguments in ((h.pwrite, (b"x" * 512, 0)), (h.trim, (512, 0)), (h.zero, (512, 0)),
                        (h.pwrite, (b"x" * 512, 0, nbd.CMD_FLAG_FUA)),
                        (h.pwrite, (b"x" * 70000, 17))):
    fails("EPERM", call, *arguments)
h.flush()
h.cache(4096, 0)
equal(sum(length for _, length, _ in all_extents(h, P["size"])), P["size"], "map")
equal(h.pread(4, 0), b"DATA", "after refused writes")
h.shutdown()
