/**
 * What an initiator has agreed on with a server, and the questions that it asks first. Plain
 * values.
 */

import type { HostAssociation, TargetState } from "./private-context.ts";

/** What to connect to, and as whom. */
export interface InitiatorRequest {
  /** At most 4096 bytes of UTF-8; "" is the server's default export. */
  readonly exportName: string;
  /** Told to targets of ours; null: nothing is told. */
  readonly association: HostAssociation | null;
}

/** The result of an initiator's handshake. */
export interface InitiatorSession extends TargetState {
  readonly sizeBytes: number;
  /** `TransmissionFlag` bits; 0 when the server has set none. */
  readonly flags: number;
  /** True with `extendedHeaders` too. */
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  /** Powers of two, checked; the spec's defaults when the server said nothing. */
  readonly minimumBlockBytes: number;
  readonly preferredBlockBytes: number;
  /** Longest payload; a multiple of the minimum, or 0xffffffff. */
  readonly maximumPayloadBytes: number;
  /** The id that block-status chunks of base:allocation carry; null: there are none. */
  readonly allocationContext: number | null;
}

/** spec: NBD proto.md "Block size constraints": what a client may count on, told nothing else. */
export const DEFAULT_BLOCK_SIZES = {
  minimumBlockBytes: 512,
  preferredBlockBytes: 4096,
  maximumPayloadBytes: 32 * 1024 * 1024,
} as const;
