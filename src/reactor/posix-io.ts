/**
 * PosixIo: the Io through foreign functions without io_uring, as under a container's default
 * seccomp filter: sockets by epoll and calls that do not block, files in place where that cannot
 * block, else by helper threads.
 */

import { IoLevel } from "./io.ts";
import { NativeIo, type NativeIoOptions, type NativeLevel } from "./native-io.ts";
import { PosixQueue } from "./posix/posix-queue.ts";

/** As many as the ring has kernel workers at level uring. */
const HELPERS_MAX = 4;

const POSIX: NativeLevel = {
  level: IoLevel.posix,
  helpersMax: HELPERS_MAX,
  waitSeesHelpers: true,
  canRest: true,
  makeQueue: (clock, helpers, requestTurn) => new PosixQueue(clock, helpers, requestTurn),
};

export class PosixIo extends NativeIo {
  constructor(options: NativeIoOptions = {}) {
    super(options, POSIX);
  }
}
