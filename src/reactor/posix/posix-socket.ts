/**
 * PosixSocket: what a PosixQueue knows of one socket: the two operations that may wait on it, and
 * whether trying them makes sense.
 */

/** One direction of a socket. */
export class SocketSide {
  /** Whose operation waits; -1 when none does. */
  slot = -1;
  operation = 0;
  address = 0n;
  length = 0;
  position = 0;
  flags = 0;
  /** An attempt may succeed: nothing has said "would block" since the last event. */
  ready: boolean;

  constructor(ready: boolean) {
    this.ready = ready;
  }
}

export class PosixSocket {
  readonly fd: number;
  readonly fdArgument: bigint;
  /** Receives and accepts. The first event tells what is there already. */
  readonly input = new SocketSide(false);
  /** Sends, connecting. */
  readonly output = new SocketSide(true);
  /** Told of by epoll. A socket that is not connected yet would say nonsense. */
  isWatched = false;
  /** Epoll tells when it can be written to: only while something waits for that. */
  watchesOutput = false;
  /** The peer sends no more: there will be no further event, the end is always there to be read. */
  hasEnded = false;

  constructor(fd: number) {
    this.fd = fd;
    this.fdArgument = BigInt(fd);
  }
}
