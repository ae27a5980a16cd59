/**
 * InitiatorCommand: one command of ours on its way to a server and back. Pooled by the device that
 * subclasses it.
 *
 *   queued --encoded--> sending --sent--> sent --last chunk--> ended
 *                          +--last chunk (a server in a hurry)--> answered --sent--> ended
 *
 * Its memory is in use until `ended`: by the send in flight, by the receive, or both.
 */

import type { SegmentList } from "../../block/segments.ts";
import { ChunkCoverage } from "../stream/chunk-coverage.ts";

/** Commands that one connection has with the server at a time; more wait here. */
export const INITIATOR_COMMANDS_MAX = 256;

export abstract class InitiatorCommand {
  /** `Command` of the wire. */
  command = 0;
  /** `CommandFlag` bits of the wire. */
  flags = 0;
  /** Bytes on the export. */
  offset = 0;
  length = 0;
  /** A write's data, or where a read's goes: `length` bytes from `segmentStart` on. */
  segments: SegmentList | null = null;
  segmentStart = 0;
  /** The first `NbdError` of the answer, else 0. */
  error = 0;
  /** Where on the export it was, as far as the server says; else -1. */
  errorOffset = -1;
  /** Of the data of a read, in bytes of the export. */
  readonly coverage: ChunkCoverage = new ChunkCoverage();
  /** A block-status chunk has come. */
  hasStatus = false;
  /** Its payload is in a send in flight. */
  isSending = false;
  /** The last chunk has come. */
  isAnswered = false;
  /** Place in the connection's table; -1 while it is not with the server. */
  index = -1;
  cookie = 0;
  /** Free for the list that it is in. */
  next: InitiatorCommand | null = null;

  /** One extent of a block-status answer, in order; may go on behind the range. Hot path. */
  abstract extent(lengthBytes: number, flags: number): void;

  /** Forgets every answer: it is about to be sent, perhaps again. Hot path. */
  beginAttempt(): void {
    this.error = 0;
    this.errorOffset = -1;
    this.coverage.clear();
    this.hasStatus = false;
    this.isSending = false;
    this.isAnswered = false;
  }
}
