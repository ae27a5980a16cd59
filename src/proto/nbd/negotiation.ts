/**
 * What the options of one handshake share: what has been agreed so far, and where replies go.
 *
 * Owned by the HandshakeTarget; each option reads and changes it while it is handled.
 */

import type { ByteSink } from "./byte-sink.ts";
import type { ExportDescription, ExportDirectory } from "./export-description.ts";
import type { MetaContext, SelectedContext } from "./meta-context.ts";
import type { HostAssociation } from "./private-context.ts";

export interface Negotiation {
  readonly directory: ExportDirectory;
  /** Every context of the listener. */
  readonly contexts: readonly MetaContext[];
  readonly output: ByteSink;
  /** Both sides leave out the zeroes after EXPORT_NAME. */
  noZeroes: boolean;
  /** Replies are chunks: structured or, with `extendedHeaders`, extended ones. */
  structuredReplies: boolean;
  extendedHeaders: boolean;
  /** What SET_META_CONTEXT selected last; void for every other export. */
  selection: MetaSelection | null;
  /** What the same SET_META_CONTEXT said of the client, if it is an initiator of ours. */
  association: HostAssociation | null;
}

export interface MetaSelection {
  /** Canonical name. */
  readonly exportName: string;
  readonly contexts: readonly SelectedContext[];
}

/** The result of a handshake: plain values, so that it can follow the socket to another worker. */
export interface NegotiatedSession {
  readonly export: ExportDescription;
  /** As they were sent to the client. */
  readonly transmissionFlags: number;
  /** True with `extendedHeaders` too. */
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  readonly noZeroes: boolean;
  /**
   * The client asked for block sizes, so it must keep to them. Otherwise it may send any offset
   * and length, and has to get a clean answer.
   */
  readonly blockSizeAgreed: boolean;
  /** In the order of ids; empty: BLOCK_STATUS is invalid. */
  readonly metaContexts: readonly SelectedContext[];
  /** Of our own initiator's connections only. */
  readonly association?: HostAssociation;
}

/** Ends the negotiation with `exported`. */
export function conclude(
  negotiation: Negotiation,
  exported: ExportDescription,
  flags: number,
  blockSizeAgreed: boolean,
): NegotiatedSession {
  const { selection, association } = negotiation;
  // spec: contexts count only for the export that SET_META_CONTEXT named.
  const selected = selection !== null && selection.exportName === exported.name;
  return {
    export: exported,
    transmissionFlags: flags,
    structuredReplies: negotiation.structuredReplies,
    extendedHeaders: negotiation.extendedHeaders,
    noZeroes: negotiation.noZeroes,
    blockSizeAgreed,
    metaContexts: selected ? selection.contexts : [],
    ...(selected && association !== null ? { association } : {}),
  };
}
