/**
 * IoCounters: what the hosts of a namespace have asked for so far, and how long it took.
 *
 * Counted by the transport when a command's answer leaves, read by whoever asks.
 */

import { OperationLatency } from "../../block/operation-latency.ts";
import { CommandKind } from "./io-command.ts";

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

  /** A command's answer has left, `latencyMs` after its capsule was read. Hot path. */
  ended(kind: CommandKind, lengthBytes: number, latencyMs: number): void {
    this.latencyMsSum += latencyMs;
    if (kind === CommandKind.read) {
      this.reads++;
      this.readBytes += lengthBytes;
      this.latency.recordRead(latencyMs);
    } else if (kind === CommandKind.write) {
      this.writes++;
      this.writeBytes += lengthBytes;
      this.latency.recordWrite(latencyMs);
    } else {
      this.others++;
      this.latency.recordOther(latencyMs);
    }
  }
}
