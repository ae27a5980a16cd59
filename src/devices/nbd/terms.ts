/**
 * What a server's word means for a device of ours: its description, and whether a server that
 * came back is still the one that was there. Pure.
 */

import { type DeviceInfo, TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { type OperationTable, Support } from "../../block/operation.ts";
import { TransmissionFlag } from "../../proto/nbd/constants.ts";
import type { InitiatorSession } from "../../proto/nbd/initiator-session.ts";
import { PenstockError } from "../../util/errors.ts";

const OPTIMAL_IO_BYTES = 128 * 1024;
const PHYSICAL_BLOCK_BYTES = 4096;

export interface TermsOptions {
  /** The stage, canonical: "nbd://127.0.0.1:10809/vol1". */
  readonly name: string;
  /** Where the server has no instance id: one that no opening before had. */
  readonly instanceId: string;
  readonly readOnly?: boolean;
  readonly blockSizeBytes?: number;
}

export function offers(session: InitiatorSession, flag: keyof typeof TransmissionFlag): boolean {
  return (session.flags & TransmissionFlag[flag]) !== 0;
}

/** @throws PenstockError `size-invalid`, `block-size-invalid`, `transfer-size-invalid` */
export function describeExport(session: InitiatorSession, options: TermsOptions): DeviceInfo {
  const { sizeBytes, minimumBlockBytes, maximumPayloadBytes } = session;
  const { name } = options;
  const blockSizeBytes = options.blockSizeBytes ?? (minimumBlockBytes > 512 ? 4096 : 512);
  if (minimumBlockBytes > blockSizeBytes) {
    throw new PenstockError({
      code: "block-size-invalid",
      message:
        `${name} takes blocks of at least ${minimumBlockBytes} bytes, ` +
        (minimumBlockBytes > 4096 ? "the largest of ours are 4096" : "not of 512"),
      details: { minimumBlockBytes },
    });
  }
  if (sizeBytes === 0 || sizeBytes % blockSizeBytes !== 0) {
    throw new PenstockError({
      code: "size-invalid",
      message: `${name} has ${sizeBytes} bytes, not a positive multiple of ${blockSizeBytes}`,
      details: { sizeBytes, blockSizeBytes },
    });
  }
  const most = Math.min(maximumPayloadBytes, TRANSFER_BYTES_MAX);
  const maxTransferBytes = most - (most % blockSizeBytes);
  if (maxTransferBytes === 0) {
    throw new PenstockError({
      code: "transfer-size-invalid",
      message: `${name} takes ${maximumPayloadBytes} bytes at a time, less than a block`,
      details: { maximumPayloadBytes, blockSizeBytes },
    });
  }
  return {
    name,
    kind: "nbd",
    sizeBytes,
    blockSizeBytes,
    physicalBlockSizeBytes: PHYSICAL_BLOCK_BYTES,
    optimalIoBytes: Math.min(OPTIMAL_IO_BYTES, maxTransferBytes),
    maxTransferBytes,
    readOnly: options.readOnly === true || offers(session, "readOnly"),
    volatileCache: session.volatileCache ?? offers(session, "sendFlush"),
    discardGranularityBytes: PHYSICAL_BLOCK_BYTES,
    instanceId: session.instanceId ?? options.instanceId,
    lendsReads: false,
  };
}

/** Why a server that came back cannot go on for the one that `info` describes, or null. */
export function incompatibility(info: DeviceInfo, session: InitiatorSession): string | null {
  const { sizeBytes, minimumBlockBytes, maximumPayloadBytes } = session;
  if (sizeBytes < info.sizeBytes) {
    return `it came back with ${sizeBytes} bytes instead of ${info.sizeBytes}`;
  }
  if (offers(session, "readOnly") && !info.readOnly) return "it came back read-only";
  if (minimumBlockBytes > info.blockSizeBytes) {
    return `it came back with blocks of ${minimumBlockBytes} bytes`;
  }
  if (maximumPayloadBytes < info.maxTransferBytes) {
    return `it came back taking ${maximumPayloadBytes} bytes at a time`;
  }
  return null;
}

/**
 * Only targets of ours promise that trimmed ranges read as zeroes; elsewhere discard writes
 * zeroes, and lets the server punch holes for them.
 */
export function operationsOf(session: InitiatorSession): OperationTable {
  const isOurs = session.instanceId !== null;
  const zeroes = offers(session, "sendWriteZeroes");
  return {
    read: Support.native,
    write: Support.native,
    flush: offers(session, "sendFlush") ? Support.native : Support.emulated,
    discard: isOurs && offers(session, "sendTrim") ? Support.native : Support.emulated,
    writeZeroes: zeroes ? Support.native : Support.emulated,
    compare: Support.emulated,
    compareAndWrite: Support.emulated,
    blockStatus: session.allocationContext === null ? Support.emulated : Support.native,
  };
}
