/**
 * UringIo: the Io on io_uring. Every operation is one submission entry.
 */

import { Ring } from "../sys/uring.ts";
import { IoLevel } from "./io.ts";
import { NativeIo, type NativeIoOptions, type NativeLevel } from "./native-io.ts";

const SUBMISSION_ENTRIES = 1024;
const COMPLETION_ENTRIES = 8192;
/** The kernel's threads for file operations that would block, per reactor. */
const WORKERS_BOUNDED = 4;
/** ... and for those that may wait for ever. Sockets never need one: they are polled. */
const WORKERS_UNBOUNDED = 4;

const URING: NativeLevel = {
  level: IoLevel.uring,
  // For seek, which is no ring operation.
  helpersMax: 1,
  waitSeesHelpers: false,
  canRest: true,
  makeQueue: () => {
    const ring = new Ring({
      submissionEntries: SUBMISSION_ENTRIES,
      completionEntries: COMPLETION_ENTRIES,
    });
    ring.limitWorkers(WORKERS_BOUNDED, WORKERS_UNBOUNDED);
    return ring;
  },
};

export class UringIo extends NativeIo {
  /** @throws PenstockError `io-uring-unavailable` */
  constructor(options: NativeIoOptions = {}) {
    super(options, URING);
  }
}
