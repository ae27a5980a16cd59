/**
 * The only door to `node:ffi`, so that another FFI can take its place.
 *
 * Libraries and callbacks are held in module constants of each thread and never closed: a closed
 * library under a live callback crashes the process (ARCHITECTURE, FFI rule 1).
 */

import ffi from "node:ffi";

/** A loaded library's functions, by name, plus the way to make C callbacks. */
export type Functions<T extends ffi.FunctionDefinitions> = ffi.WrappedFunctionsFromDefinitions<T>;

const held: unknown[] = [];

/**
 * Looks functions up in a library (null: in the node binary itself, for libuv and OpenSSL).
 * @throws when the library or a symbol is missing
 */
export function loadFunctions<const T extends ffi.FunctionDefinitions>(
  library: string | null,
  definitions: T,
): Functions<T> {
  const loaded = ffi.dlopen(library, definitions);
  held.push(loaded);
  return loaded.functions;
}

/**
 * A C function pointer that calls `body(handle, status, events)`, the shape of `uv_poll_cb`.
 * `body` must not throw: a throw there aborts the process.
 */
export function makePollCallback(body: () => void): bigint {
  const loaded = ffi.dlopen(null, {});
  const pointer = loaded.lib.registerCallback(
    { arguments: ["uint64", "int32", "int32"], return: "void" },
    body,
  );
  held.push(loaded, body);
  return pointer;
}

/** Views `lengthBytes` bytes at `address` without a copy. The memory must live for ever. */
export function viewMemory(address: bigint, lengthBytes: number): ArrayBuffer {
  return ffi.toArrayBuffer(address, lengthBytes, false);
}

/** The libuv loop of this thread. */
export function currentEventLoop(): bigint {
  return ffi.getCurrentEventLoop();
}
