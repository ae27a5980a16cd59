/**
 * Ends the whole process at once, from any thread, running nothing of anybody on the way.
 *
 * `process.exit` would end the other threads first, and a thread that ends with an open FFI poll
 * handle can abort the process (FFI rule 3). Needs FFI: import it dynamically.
 */

import { loadFunctions } from "./ffi.ts";

const libc = loadFunctions("libc.so.6", { _exit: { arguments: ["int32"], return: "void" } });

/** @param code 0 to 255 */
export function exitNow(code: number): void {
  libc._exit(code);
}
