"""Option haggling on one listener with several exports.

Parameters: uris (comma-separated, one per export), names, sizes (of each).
"""

uris = P["uris"].split(",")
names = P["names"].split(",")
sizes = [int(text) for text in P["sizes"].split(",")]


def listed(handle):
    found = []
    handle.opt_list(lambda name, description: found.append(name))
    return found


h = negotiate(uris[0])
equal(sorted(listed(h)), sorted(names), "LIST")
for name, size in zip(names, sizes):
    h.set_export_name(name)
    h.opt_info()
    equal(h.get_size(), size, f"INFO of {name}")
    equal(h.get_export_name(), name, "name")
for unknown in ("nobody", "vol", "a" * 4096, "\u00fc", names[0] + " ", names[0].upper()):
    if unknown in names:
        continue
    h.set_export_name(unknown)
    fails("ENOENT", h.opt_info)
    fails("ENOENT", h.opt_go)
equal(sorted(listed(h)), sorted(names), "LIST after unknown exports")
contexts = []
h.set_export_name(names[1])
h.opt_list_meta_context(contexts.append)
assert nbd.CONTEXT_BASE_ALLOCATION in contexts, contexts
for query in ("base:", "base:allocation"):
    contexts.clear()
    h.clear_meta_contexts()
    h.add_meta_context(query)
    h.opt_list_meta_context(contexts.append)
    equal(contexts, [nbd.CONTEXT_BASE_ALLOCATION], f"query {query}")
contexts.clear()
h.clear_meta_contexts()
h.add_meta_context("unknown:thing")
h.opt_list_meta_context(contexts.append)
equal(contexts, [], "unknown context")
h.clear_meta_contexts()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.opt_go()
equal(h.get_size(), sizes[1], "GO")
assert h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)

# Exports do not see each other's data; connections to all of them at once.
handles = [connect(uri) for uri in uris]
for index, handle in enumerate(handles):
    handle.pwrite(bytes([index + 1]) * 4096, 4096)
for index, handle in enumerate(handles):
    equal(handle.pread(4096, 4096), bytes([index + 1]) * 4096, f"export {names[index]}")
    equal(handle.get_size(), sizes[index], "size")
    handle.shutdown()
h.shutdown()

h = negotiate(uris[-1])
h.opt_abort()
assert h.aio_is_closed()
unknown = nbd.NBD()
fails("ENOENT", unknown.connect_uri, uris[0].replace(names[0], "nobody"))
