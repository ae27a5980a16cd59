/**
 * OperationQueue: what an Io hands its operations to, and where their completions come from: a ring
 * of io_uring, or a queue that makes system calls which do not block.
 *
 * Interface and numbers only. An operation is named by its number in io_uring, and takes its
 * arguments where a submission entry has them. spec: io_uring_enter(2)
 */

export const Operation = {
  nop: 0,
  readv: 1,
  writev: 2,
  fsync: 3,
  readFixed: 4,
  writeFixed: 5,
  sendmsg: 9,
  recvmsg: 10,
  accept: 13,
  asyncCancel: 14,
  connect: 16,
  fallocate: 17,
  read: 22,
  write: 23,
  recv: 27,
} as const;

/** Calls back for each completion: the user data given at submission, result and flags. */
export interface CompletionSink {
  operationCompleted(userData: number, result: number, flags: number): void;
}

/** User data of entries whose completion nobody waits for. */
export const NO_COMPLETION = -1;

/** Completion flag of a receive: the socket holds more bytes already. */
export const COMPLETION_SOCKET_NONEMPTY = 4;

/**
 * Goes into the upper half of `operation` for a receive on a socket that is probably empty: waits
 * for data instead of trying first.
 */
export const RECEIVE_POLL_FIRST = 1 << 16;

export interface OperationQueue {
  /** Operations prepared and not yet begun. */
  readonly pending: number;
  /** How often the kernel was entered, for statistics. */
  readonly enterCount: number;
  /** True when entering may bring completions: cheap to ask. Hot path. */
  readonly hasTaskWork: boolean;
  /** True when a completion waits to be reaped. */
  readonly hasCompletions: boolean;
  /**
   * Has `eventfd` signalled by every completion while signals are on.
   * @returns the fd to poll for completions and for signals of others to the eventfd
   */
  registerEventfd(eventfd: number): number;
  /** Turns these signals on or off. Hot path. */
  setSignals(on: boolean): void;
  /**
   * Takes one operation. Hot path.
   * @param operation of `Operation`, with flags of the operation's own in bits 16 to 31
   * @param address user address (double), or what the operation has in `addr`
   * @param position file offset or what the operation has in `off`
   * @param operationFlags rw_flags, fsync_flags, msg_flags, ...
   * @param totalBytes of a vector; default: `length`
   */
  prepare(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
    userData: number,
    totalBytes?: number,
  ): void;
  /**
   * Has the kernel keep hold of memory, so that not every direct read and write in it has to look
   * its pages up. The memory stays what it is until `freeBuffer`, nobody empties or unmaps it.
   * @returns the buffer's number, or -1: not here, or no more of them now
   */
  fixBuffer(address: number, lengthBytes: number): number;
  /** The memory is about to be emptied: the number is free. What is in flight is begun first. */
  freeBuffer(buffer: number): void;
  /** Takes `readFixed` or `writeFixed` in memory of a fixed buffer. Hot path. */
  prepareFixed(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
    userData: number,
    buffer: number,
  ): void;
  /** Begins what is pending and looks for what has ended; does not wait. Hot path. */
  enter(): void;
  /** As `enter`, and sleeps until a completion is there, for at most `timeoutMs` (below 1 s). */
  wait(timeoutMs: number): void;
  /** As `wait`, and lets up to `count` completions gather for at most `gatherMs`. Hot path. */
  gather(count: number, gatherMs: number, timeoutMs: number): void;
  /** Lets up to `restMs` (below 1 s) go by, or less when something completes meanwhile. */
  rest(restMs: number): void;
  /** Delivers all completions that are there. @returns how many. Hot path. */
  reap(sink: CompletionSink): number;
  /** The socket is another queue's from now on; nothing is in flight on it here. */
  releaseSocket(fd: number): void;
  /** The file has been opened, and will soon be read or written. */
  openedFile(fd: number): void;
  /** The file is about to be closed; nothing is in flight on it. */
  closingFile(fd: number): void;
  /** Closes the socket; nothing is in flight on it. */
  closeSocket(fd: number): void;
  close(): void;
}
