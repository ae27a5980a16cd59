/**
 * The C library calls that Penstock makes, with errno as a return value.
 *
 * Calls of the hot path with four or more arguments declare all of them pointers, integers too
 * (at most six): node:ffi hands those to V8's fast call (some 10 ns), and wraps any other call of
 * that many arguments in a generic one (200 to 400 ns more).
 *
 * Everything here returns >= 0 or -errno and does not block (blocking calls are ring operations,
 * or run on a helper thread). Addresses are doubles: user addresses are below 2^47.
 */

import { loadFunctions, viewMemory } from "./ffi.ts";

const LIBC = "libc.so.6";

const libc = loadFunctions(LIBC, {
  __errno_location: { arguments: [], return: "uint64" },
  mmap: {
    arguments: ["uint64", "uint64", "int32", "int32", "int32", "uint64"],
    return: "uint64",
  },
  madvise: { arguments: ["uint64", "uint64", "int32"], return: "int32" },
  eventfd: { arguments: ["int32", "int32"], return: "int32" },
  socket: { arguments: ["int32", "int32", "int32"], return: "int32" },
  bind: { arguments: ["int32", "uint64", "int32"], return: "int32" },
  listen: { arguments: ["int32", "int32"], return: "int32" },
  getsockname: { arguments: ["int32", "uint64", "uint64"], return: "int32" },
  shutdown: { arguments: ["int32", "int32"], return: "int32" },
  close: { arguments: ["int32"], return: "int32" },
  fcntl: { arguments: ["int32", "int32", "uint64"], return: "int32" },
  read: { arguments: ["int32", "uint64", "uint64"], return: "int64" },
  write: { arguments: ["int32", "uint64", "uint64"], return: "int64" },
  statx: { arguments: ["int32", "uint64", "int32", "int32", "uint64"], return: "int32" },
  prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
  lseek: { arguments: ["int32", "int64", "int32"], return: "int64" },
  connect: { arguments: ["int32", "uint64", "int32"], return: "int32" },
  epoll_create1: { arguments: ["int32"], return: "int32" },
  fdatasync: { arguments: ["int32"], return: "int32" },
});

const THREE = ["pointer", "pointer", "pointer"] as const;
const FOUR = ["pointer", "pointer", "pointer", "pointer"] as const;
const FIVE = [...FOUR, "pointer"] as const;
const SIX = [...FIVE, "pointer"] as const;

const fast = loadFunctions(LIBC, {
  setsockopt: { arguments: FIVE, return: "int32" },
  pread: { arguments: FOUR, return: "int64" },
  pwrite: { arguments: FOUR, return: "int64" },
  preadv: { arguments: FOUR, return: "int64" },
  pwritev: { arguments: FOUR, return: "int64" },
  syscall: { arguments: SIX, return: "int32" },
  recv: { arguments: FOUR, return: "int32" },
  recvmsg: { arguments: THREE, return: "int32" },
  sendmsg: { arguments: THREE, return: "int32" },
  accept4: { arguments: FOUR, return: "int32" },
  epoll_ctl: { arguments: FOUR, return: "int32" },
  epoll_wait: { arguments: FOUR, return: "int32" },
  ppoll: { arguments: FOUR, return: "int32" },
  fallocate: { arguments: FOUR, return: "int32" },
  // At most 2 GiB less a page are moved at once.
  preadv2: { arguments: FIVE, return: "int32" },
  pwritev2: { arguments: FIVE, return: "int32" },
});

const events = loadFunctions(LIBC, {
  eventfd_write: { arguments: ["int32", "uint64"], return: "int32" },
});

// Seven arguments: made only to sleep.
const waiting = loadFunctions(LIBC, {
  syscall: {
    arguments: ["int64", "int32", "int32", "int32", "int32", "uint64", "uint64"],
    return: "int32",
  },
});

const errnoView = new Int32Array(viewMemory(libc.__errno_location(), 4));

/** errno of this thread; read it on the very next statement after a failed call. */
function negativeErrno(): number {
  return -(errnoView[0] as number);
}

const SYSCALL_IO_URING_SETUP = 425n;
const SYSCALL_IO_URING_ENTER = 426n;
const SYSCALL_IO_URING_REGISTER = 427n;

export const ProtectionFlag = { none: 0, read: 1, write: 2 } as const;
export const MapFlag = {
  shared: 1,
  private: 2,
  fixed: 0x10,
  anonymous: 0x20,
  noReserve: 0x4000,
  populate: 0x8000,
} as const;
/** Of madvise: `dontNeed` frees the pages, which read as zeroes afterwards. spec: madvise(2) */
export const Advice = { dontNeed: 4, dontFork: 10, hugePages: 14 } as const;

/** @returns the address, or a negative errno */
export function mmap(options: {
  readonly address?: bigint;
  readonly lengthBytes: number;
  readonly protection: number;
  readonly flags: number;
  readonly fd?: number;
  readonly offset?: bigint;
}): bigint {
  const address = libc.mmap(
    options.address ?? 0n,
    BigInt(options.lengthBytes),
    options.protection,
    options.flags,
    options.fd ?? -1,
    options.offset ?? 0n,
  );
  return address === 0xffff_ffff_ffff_ffffn ? BigInt(negativeErrno()) : address;
}

export function madvise(address: number, lengthBytes: number, advice: number): number {
  const result = libc.madvise(BigInt(address), BigInt(lengthBytes), advice);
  return result < 0 ? negativeErrno() : result;
}

/** @returns the ring's fd */
export function ioUringSetup(entries: number, params: number): number {
  const [count, address] = [BigInt(entries), BigInt(params)];
  const result = fast.syscall(SYSCALL_IO_URING_SETUP, count, address, 0n, 0n, 0n);
  return result < 0 ? negativeErrno() : result;
}

export function ioUringRegister(
  fd: number,
  operation: number,
  argument: number,
  count: number,
): number {
  const result = fast.syscall(
    SYSCALL_IO_URING_REGISTER,
    BigInt(fd),
    BigInt(operation),
    BigInt(argument),
    BigInt(count),
    0n,
  );
  return result < 0 ? negativeErrno() : result;
}

const ENTER_GETEVENTS = 1n;

/** Submits, and runs deferred completion work; does not wait. Hot path. */
export function ioUringEnter(fd: bigint, submit: bigint): number {
  const result = fast.syscall(SYSCALL_IO_URING_ENTER, fd, submit, 0n, ENTER_GETEVENTS, 0n);
  return result < 0 ? negativeErrno() : result;
}

const ENTER_GETEVENTS_EXT_ARG = 1 | 8;
const GETEVENTS_ARG_BYTES = 24n;

/**
 * Submits, and sleeps until there are `count` completions or the time is up (-ETIME).
 * @param argument address of a struct io_uring_getevents_arg
 */
export function ioUringWait(fd: number, submit: number, count: number, argument: bigint): number {
  const result = waiting.syscall(
    SYSCALL_IO_URING_ENTER,
    fd,
    submit,
    count,
    ENTER_GETEVENTS_EXT_ARG,
    argument,
    GETEVENTS_ARG_BYTES,
  );
  return result < 0 ? negativeErrno() : result;
}

const EFD_CLOEXEC_NONBLOCK = 0x80800;

export function eventfd(): number {
  const result = libc.eventfd(0, EFD_CLOEXEC_NONBLOCK);
  return result < 0 ? negativeErrno() : result;
}

/** Sets up an eventfd's two calls with their pointers made once. */
export function eventfdCalls(fd: number, scratch: number): { signal(): void; clear(): void } {
  const address = BigInt(scratch);
  return {
    signal: () => void libc.write(fd, address, 8n),
    clear: () => void libc.read(fd, address + 8n, 8n),
  };
}

/** Adds 1 to any eventfd of the process. @returns 0, or -EAGAIN when it is full. Hot path. */
export function signalEventfd(fd: number): number {
  return events.eventfd_write(fd, 1n) < 0 ? negativeErrno() : 0;
}

export const AddressFamily = { unix: 1, ipv4: 2, ipv6: 10 } as const;
const SOCK_STREAM_CLOEXEC = 1 | 0x80000;

export function socket(family: number): number {
  const result = libc.socket(family, SOCK_STREAM_CLOEXEC, 0);
  return result < 0 ? negativeErrno() : result;
}

export function bind(fd: number, address: number, lengthBytes: number): number {
  const result = libc.bind(fd, BigInt(address), lengthBytes);
  return result < 0 ? negativeErrno() : result;
}

export function listen(fd: number, backlog: number): number {
  const result = libc.listen(fd, backlog);
  return result < 0 ? negativeErrno() : result;
}

export function getsockname(fd: number, address: number, lengthAddress: number): number {
  const result = libc.getsockname(fd, BigInt(address), BigInt(lengthAddress));
  return result < 0 ? negativeErrno() : result;
}

/** Of an int that a pointer points to. */
const INT_BYTES = 4n;

/** An integer socket option. `scratch`: 4 bytes of slab memory holding the value. */
export function setsockopt(fd: number, level: number, name: number, scratch: number): number {
  const [socket, pointer] = [BigInt(fd), BigInt(scratch)];
  const result = fast.setsockopt(socket, BigInt(level), BigInt(name), pointer, INT_BYTES);
  return result < 0 ? negativeErrno() : result;
}

const PR_SET_TIMERSLACK = 29;

/** How late this thread's timers may be, in nanoseconds; 50,000 by default. spec: prctl(2) */
export function setTimerSlack(nanoseconds: number): void {
  libc.prctl(PR_SET_TIMERSLACK, BigInt(nanoseconds), 0n, 0n, 0n);
}

/** What a socket operation that would block says. */
const MSG_DONTWAIT = 0x40n;

/** Hot path. */
export function receive(fd: bigint, address: bigint, length: number): number {
  const result = fast.recv(fd, address, BigInt(length), MSG_DONTWAIT);
  return result < 0 ? negativeErrno() : result;
}

/** @param header address of a msghdr. Hot path. */
export function receiveMessage(fd: bigint, header: bigint): number {
  const result = fast.recvmsg(fd, header, MSG_DONTWAIT);
  return result < 0 ? negativeErrno() : result;
}

const MSG_DONTWAIT_NOSIGNAL = 0x4040n;

/** @param header address of a msghdr. Hot path. */
export function sendMessage(fd: bigint, header: bigint): number {
  const result = fast.sendmsg(fd, header, MSG_DONTWAIT_NOSIGNAL);
  return result < 0 ? negativeErrno() : result;
}

/** For sockets that do not block (`setNonBlocking`). */
export function accept(fd: bigint, address: bigint, lengthAddress: bigint, flags: number): number {
  const result = fast.accept4(fd, address, lengthAddress, BigInt(flags));
  return result < 0 ? negativeErrno() : result;
}

/** For sockets that do not block. Said again, it tells what has become of the attempt. */
export function connect(fd: number, address: bigint, lengthBytes: number): number {
  const result = libc.connect(fd, address, lengthBytes);
  return result < 0 ? negativeErrno() : result;
}

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0x800;

/** The flags that a file was opened with, or -errno. */
export function fileFlags(fd: number): number {
  return fcntl(fd, F_GETFL, 0);
}

export function setNonBlocking(fd: number): void {
  fcntl(fd, F_SETFL, Math.max(fileFlags(fd), 0) | O_NONBLOCK);
}

const EPOLL_CLOEXEC = 0x80000;

export function epollCreate(): number {
  const result = libc.epoll_create1(EPOLL_CLOEXEC);
  return result < 0 ? negativeErrno() : result;
}

/** @param event address of a struct epoll_event */
export function epollControl(epoll: bigint, operation: number, fd: bigint, event: bigint): number {
  const result = fast.epoll_ctl(epoll, BigInt(operation), fd, event);
  return result < 0 ? negativeErrno() : result;
}

/** Does not wait. @returns the number of events. Hot path. */
export function epollLook(epoll: bigint, events: bigint, countMax: bigint): number {
  const result = fast.epoll_wait(epoll, events, countMax, 0n);
  return result < 0 ? negativeErrno() : result;
}

/**
 * Sleeps until one fd is ready, or the time is up.
 * @param poll address of a struct pollfd
 * @param time address of a struct timespec
 */
export function pollOne(poll: bigint, time: bigint): void {
  fast.ppoll(poll, 1n, time, 0n);
}

/** @param time address of a struct timespec */
export function sleep(time: bigint): void {
  fast.ppoll(0n, 0n, time, 0n);
}

const SOL_SOCKET = 1n;
const SO_RCVLOWAT = 18n;

/**
 * A socket becomes readable when this many bytes are there. spec: socket(7)
 * @param pointer address of the count, an int
 */
export function setReceiveLowWater(fd: number, pointer: bigint): void {
  fast.setsockopt(BigInt(fd), SOL_SOCKET, SO_RCVLOWAT, pointer, INT_BYTES);
}

export const ShutdownHow = { send: 1, both: 2 } as const;

export function shutdown(fd: number, how: number): number {
  const result = libc.shutdown(fd, how);
  return result < 0 ? negativeErrno() : result;
}

/** For sockets and rings; files that may have to write back are closed by a helper thread. */
export function close(fd: number): number {
  const result = libc.close(fd);
  return result < 0 ? negativeErrno() : result;
}

/** fcntl with a pointer argument. */
export function fcntl(fd: number, command: number, argument: number): number {
  const result = libc.fcntl(fd, command, BigInt(argument));
  return result < 0 ? negativeErrno() : result;
}

/** Only for files in memory (tmpfs), where it is a copy; elsewhere it may block. */
export function preadInMemory(
  fd: number,
  address: number,
  length: number,
  position: number,
): number {
  const result = fast.pread(BigInt(fd), BigInt(address), BigInt(length), BigInt(position));
  return result < 0n ? negativeErrno() : Number(result);
}

/** Only for files in memory (tmpfs), where it is a copy; elsewhere it may block. */
export function pwriteInMemory(
  fd: number,
  address: number,
  length: number,
  position: number,
): number {
  const result = fast.pwrite(BigInt(fd), BigInt(address), BigInt(length), BigInt(position));
  return result < 0n ? negativeErrno() : Number(result);
}

/** As `preadInMemory`, with an array of iovecs. */
export function preadvInMemory(
  fd: number,
  iovecs: number,
  count: number,
  position: number,
): number {
  const result = fast.preadv(BigInt(fd), BigInt(iovecs), BigInt(count), BigInt(position));
  return result < 0n ? negativeErrno() : Number(result);
}

/** As `pwriteInMemory`, with an array of iovecs. */
export function pwritevInMemory(
  fd: number,
  iovecs: number,
  count: number,
  position: number,
): number {
  const result = fast.pwritev(BigInt(fd), BigInt(iovecs), BigInt(count), BigInt(position));
  return result < 0n ? negativeErrno() : Number(result);
}

/**
 * Without RWF_NOWAIT among the flags it may block: helper thread only. Hot path.
 * @param iovecs address of `count` iovecs
 */
export function preadv2(
  fd: bigint,
  iovecs: bigint,
  count: number,
  position: number,
  flags: number,
): number {
  const result = fast.preadv2(fd, iovecs, BigInt(count), BigInt(position), BigInt(flags));
  return result < 0 ? negativeErrno() : result;
}

/** As `preadv2`. Hot path. */
export function pwritev2(
  fd: bigint,
  iovecs: bigint,
  count: number,
  position: number,
  flags: number,
): number {
  const result = fast.pwritev2(fd, iovecs, BigInt(count), BigInt(position), BigInt(flags));
  return result < 0 ? negativeErrno() : result;
}

/** Blocks: helper thread only. */
export function fdatasyncBlocking(fd: number): number {
  return libc.fdatasync(fd) < 0 ? negativeErrno() : 0;
}

/** Blocks: helper thread only. */
export function fallocateBlocking(
  fd: number,
  mode: number,
  position: number,
  length: number,
): number {
  const result = fast.fallocate(BigInt(fd), BigInt(mode), BigInt(position), BigInt(length));
  return result < 0 ? negativeErrno() : 0;
}

/** Blocks: helper thread only. */
export function lseekBlocking(fd: number, position: number, whence: number): number {
  const result = libc.lseek(fd, BigInt(position), whence);
  return result < 0n ? negativeErrno() : Number(result);
}

const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;

/**
 * How direct I/O on an open file must be aligned, in bytes; null when the kernel does not say.
 * @param scratch address of at least 512 zeroed bytes, viewed by `view`
 */
export function directAlignment(fd: number, scratch: number, view: DataView): number | null {
  const result = libc.statx(
    fd,
    BigInt(scratch),
    AT_EMPTY_PATH,
    STATX_DIOALIGN,
    BigInt(scratch + 64),
  );
  if (result < 0 || (view.getUint32(64, true) & STATX_DIOALIGN) === 0) return null;
  const memory = view.getUint32(64 + 152, true);
  const offset = view.getUint32(64 + 156, true);
  return offset === 0 ? null : Math.max(memory, offset);
}
