/**
 * What a listener knows of its exports, as far as a client is told.
 *
 * Plain values only: a description crosses to the worker that owns the export together with the
 * connection. Immutable; whoever owns the directory replaces it when the export changes.
 */

import { assert } from "../../util/assert.ts";
import { utf8 } from "./byte-sink.ts";
import {
  MAXIMUM_BLOCK_UNLIMITED,
  MINIMUM_BLOCK_BYTES_MAX,
  PREFERRED_BLOCK_BYTES_MIN,
  STRING_BYTES_MAX,
  TransmissionFlag,
} from "./constants.ts";

export interface ExportDescription {
  /** The canonical name: at most 4096 bytes of UTF-8, no NUL. */
  readonly name: string;
  /** For people; may be empty. */
  readonly description: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canZero: boolean;
  /** FAST_ZERO is understood; each request may still be answered with ENOTSUP. */
  readonly canFastZero: boolean;
  readonly canCache: boolean;
  /** A flush or FUA on one connection covers the writes answered on all others. */
  readonly multiConn: boolean;
  /** A power of two, 1 to 65536. Binds only clients that ask for block sizes. */
  readonly minimumBlockBytes: number;
  /** A power of two, at least 512 and the minimum. */
  readonly preferredBlockBytes: number;
  /** Longest payload: a multiple of the minimum, or 0xffffffff. */
  readonly maximumPayloadBytes: number;
  /** UUID that changes when volatile data may have been lost; for our own initiator. */
  readonly instanceId: string;
  /** Answered writes need a flush to survive power loss. */
  readonly volatileCache: boolean;
}

/** The exports of one listener. Called from the handshake; must not throw. */
export interface ExportDirectory {
  /** The export that `name` means ("" is the default export), or null. */
  find(name: string): ExportDescription | null;
  /** Every export, in a stable order. */
  list(): readonly ExportDescription[];
}

/**
 * Checks our own side's statements, once, when an export is made: throws an AssertionError that
 * names the broken rule.
 * spec: NBD proto.md "Block size constraints"
 */
export function checkExport(exported: ExportDescription): void {
  const { name, description, sizeBytes } = exported;
  const { minimumBlockBytes, preferredBlockBytes, maximumPayloadBytes } = exported;
  assert(isString(name), "an export's name has at most 4096 bytes and no NUL");
  assert(isString(description), "an export's description has at most 4096 bytes and no NUL");
  assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, "an export's size is 0 to 2^53 - 1");
  assert(
    isPowerOfTwo(minimumBlockBytes) && minimumBlockBytes <= MINIMUM_BLOCK_BYTES_MAX,
    "the minimum block size is a power of two up to 65536",
  );
  assert(
    isPowerOfTwo(preferredBlockBytes) &&
      preferredBlockBytes >= Math.max(minimumBlockBytes, PREFERRED_BLOCK_BYTES_MIN),
    "the preferred block size is a power of two, at least 512 and the minimum",
  );
  assert(
    maximumPayloadBytes === MAXIMUM_BLOCK_UNLIMITED ||
      (maximumPayloadBytes > 0 &&
        maximumPayloadBytes < MAXIMUM_BLOCK_UNLIMITED &&
        maximumPayloadBytes % minimumBlockBytes === 0),
    "the maximum payload is a multiple of the minimum block size",
  );
  assert(
    maximumPayloadBytes >= Math.min(preferredBlockBytes, sizeBytes),
    "the maximum payload holds a preferred block, or the export",
  );
}

/**
 * The export's 16 transmission flags. A read-only export announces no command or flag that only
 * writing has a use for.
 * spec: NBD proto.md "Transmission flags"
 */
export function transmissionFlags(exported: ExportDescription, structured: boolean): number {
  const writable = !exported.readOnly;
  let flags = TransmissionFlag.hasFlags as number;
  if (exported.readOnly) flags |= TransmissionFlag.readOnly;
  if (exported.rotational) flags |= TransmissionFlag.rotational;
  if (exported.canFlush) flags |= TransmissionFlag.sendFlush;
  if (exported.canCache) flags |= TransmissionFlag.sendCache;
  if (exported.multiConn) flags |= TransmissionFlag.canMultiConn;
  if (writable && exported.canFua) flags |= TransmissionFlag.sendFua;
  if (writable && exported.canTrim) flags |= TransmissionFlag.sendTrim;
  if (writable && exported.canZero) flags |= TransmissionFlag.sendWriteZeroes;
  // spec: fast zero must be clear while write-zeroes is.
  if (writable && exported.canZero && exported.canFastZero) flags |= TransmissionFlag.sendFastZero;
  // spec: DF must be clear unless replies are structured.
  if (structured) flags |= TransmissionFlag.sendDf;
  return flags;
}

function isString(text: string): boolean {
  return !text.includes("\0") && utf8(text).length <= STRING_BYTES_MAX;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && (value & (value - 1)) === 0;
}
