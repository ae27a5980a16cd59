/**
 * Becomes another program that may not use io_uring, as in a container with the usual seccomp
 * filter: its three system calls fail with EPERM.
 *
 *   node bar-io-uring.ts PROGRAM ARGUMENT...
 *
 * The filter holds for this thread, and by exec for the whole program and its children.
 * spec: seccomp(2), linux/filter.h
 */

import { loadFunctions } from "../sys/ffi.ts";
import { fcntl } from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import { assert } from "../util/assert.ts";

const libc = loadFunctions("libc.so.6", {
  prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
  execv: { arguments: ["uint64", "uint64"], return: "int32" },
});

const F_SETFD = 2;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2n;

const LOAD_NUMBER = 0x20;
const JUMP_IF_AT_LEAST = 0x35;
const JUMP_IF_MORE = 0x25;
const RETURN = 0x06;
const ALLOW = 0x7fff0000;
const FAIL_WITH_EPERM = 0x00050001;
/** io_uring_setup, _enter, _register: the same on all architectures. */
const [FIRST_BARRED, LAST_BARRED] = [425, 427];

/** struct sock_filter: code u16, jumps when true and when false u8, operand u32. */
const FILTER: readonly (readonly [code: number, yes: number, no: number, operand: number])[] = [
  [LOAD_NUMBER, 0, 0, 0],
  [JUMP_IF_AT_LEAST, 0, 2, FIRST_BARRED],
  [JUMP_IF_MORE, 1, 0, LAST_BARRED],
  [RETURN, 0, 0, FAIL_WITH_EPERM],
  [RETURN, 0, 0, ALLOW],
];
const PROGRAM_AT = 1024;

function barIoUring(): void {
  const memory = mapShared(4096);
  const view = new DataView(memory.buffer);
  for (const [index, [code, yes, no, operand]] of FILTER.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, yes);
    view.setUint8(index * 8 + 3, no);
    view.setUint32(index * 8 + 4, operand, true);
  }
  // struct sock_fprog: count u16, pointer.
  view.setUint16(PROGRAM_AT, FILTER.length, true);
  view.setBigUint64(PROGRAM_AT + 8, BigInt(memory.address), true);
  assert(libc.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) === 0, "new privileges are given up");
  const program = BigInt(memory.address + PROGRAM_AT);
  const result = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0n, 0n);
  assert(result === 0, "the kernel takes the filter");
}

function become(argv: readonly string[]): void {
  const texts = argv.map((text) => Buffer.from(`${text}\0`));
  const pointersBytes = (argv.length + 1) * 8;
  const lengthBytes = texts.reduce((sum, text) => sum + text.length, pointersBytes);
  const memory = mapShared(Math.ceil(lengthBytes / 4096) * 4096);
  const view = new DataView(memory.buffer);
  let at = pointersBytes;
  for (const [index, text] of texts.entries()) {
    view.setBigUint64(index * 8, BigInt(memory.address + at), true);
    new Uint8Array(memory.buffer).set(text, at);
    at += text.length;
  }
  // Node has its standard streams closed by exec.
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 0);
  libc.execv(BigInt(memory.address + pointersBytes), BigInt(memory.address));
  assert(false, `${argv[0]} cannot be run`);
}

barIoUring();
become(process.argv.slice(2));
