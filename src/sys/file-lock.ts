/**
 * Open-file-description locks: they belong to the open file, go away when it is closed or its
 * process dies, and keep other openers out, in this process too. spec: fcntl_locking(2)
 *
 * struct flock on 64-bit Linux: l_type s16 @0, l_whence s16 @2, l_start s64 @8, l_len s64 @16,
 * l_pid s32 @24.
 */

import { fcntl } from "./libc.ts";
import { mapShared } from "./memory.ts";

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;

const scratch = mapShared(4096);
const view = new DataView(scratch.buffer);

/**
 * Locks the whole file; exclusive or shared. Does not block.
 * @returns 0, or -errno (-EAGAIN: somebody else holds it)
 */
export function lockFile(fd: number, exclusive: boolean): number {
  view.setInt16(0, exclusive ? F_WRLCK : F_RDLCK, true);
  view.setInt16(2, 0, true);
  view.setBigInt64(8, 0n, true);
  view.setBigInt64(16, 0n, true);
  view.setInt32(24, 0, true);
  return fcntl(fd, F_OFD_SETLK, scratch.address);
}
