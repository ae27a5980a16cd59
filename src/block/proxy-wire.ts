/**
 * What a proxy device and its server say to each other: the ticket that is posted once, and the
 * records in the two channels. Words are 32 bits; a "double" is an integer in two words, low first.
 *
 *   requests, user to owner:
 *     operation | slot | generation | flags | stream | offset (double) | length (double)
 *       | segments ...
 *       segment: slab id | offset | length
 *     hello | slab id | wake handle     first of all: where the user's reactor is rung
 *     end                               last of all: the user has let go
 *   answers, owner to user:
 *     done | slot | generation | status [| error offset (double)]
 *     extents | slot | generation | (length (double) | flags) ...    before their `done`
 *     leaving                           the owner goes: send `end`
 *     ended                             last of all, after `end`
 */

import type { DoorbellAddress } from "../reactor/doorbell.ts";
import type { DeviceInfo } from "./device.ts";
import { OPERATION_COUNT, type OperationTable } from "./operation.ts";
import { SEGMENT_COUNT_MAX } from "./segments.ts";

/** Opens a device of another reactor. Plain values: goes through any MessagePort, opened once. */
export interface DeviceTicket {
  readonly info: DeviceInfo;
  readonly operations: OperationTable;
  /** Channels. */
  readonly requests: SharedArrayBuffer;
  readonly answers: SharedArrayBuffer;
  /** One word: `TicketState`. */
  readonly state: SharedArrayBuffer;
  /** The owner's reactor. */
  readonly doorbell: DoorbellAddress;
}

export const TicketState = { offered: 0, opened: 1, withdrawn: 2 } as const;

/** Requests of one proxy that its server knows of; more wait in the proxy. */
export const PROXY_IN_FLIGHT_MAX = 4096;

/** 64 KiB: over a thousand requests of one segment, twenty of the largest. */
export const REQUEST_CHANNEL_WORDS = 16 * 1024;
/** 32 KiB: well over a thousand answers. */
export const ANSWER_CHANNEL_WORDS = 8 * 1024;

/** First words of request records that are no operation. */
export const UserWord = { hello: OPERATION_COUNT, end: OPERATION_COUNT + 1 } as const;

export const OwnerWord = { done: 0, extents: 1, leaving: 2, ended: 3 } as const;

export const REQUEST_WORDS = 9;
export const SEGMENT_WORDS = 3;
export const DONE_WORDS = 4;
export const EXTENTS_WORDS = 3;
export const EXTENT_WORDS = 3;

/** More extents go in several records. */
export const EXTENTS_PER_RECORD = SEGMENT_COUNT_MAX;

const TWO_32 = 4294967296;

/** Any integer that a double holds exactly. Hot path. */
export function putDouble(words: Int32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / TWO_32);
}

// hot path
export function getDouble(words: Int32Array, at: number): number {
  return (words[at + 1] as number) * TWO_32 + ((words[at] as number) >>> 0);
}
