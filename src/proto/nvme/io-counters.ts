/**
 * IoCounters: what the hosts of a namespace have asked for so far, and how long it took.
 *
 * Counted by the transport when a command's answer leaves, read by whoever asks.
 */

import { OperationLatency } from "../../block/operation-latency.ts";

export class IoCounters {
  reads = 0;
  writes = 0;
  /** Flushes, compares, write zeroes, dataset management, verifies. */
  others = 0;
  readBytes = 0;
  writeBytes = 0;
  /** Commands that ended with an error; they are in the counts above. */
  errors = 0;
  /** From reading the capsule to sending the answer, summed over all commands, in ms. */
  latencyMsSum = 0;
  readonly latency: OperationLatency = new OperationLatency();
}
