/**
 * What a mirror states about itself, out of what its legs state. Pure.
 */

import type { DeviceInfo } from "../block/device.ts";
import { type OperationTable, Support } from "../block/operation.ts";
import { PenstockError } from "../util/errors.ts";
import { uuidOfName } from "../util/uuid.ts";

/** What a leg states: a device, or what was kept of one. */
export interface LegFacts {
  readonly info: DeviceInfo;
  readonly operations: OperationTable;
}

/**
 * @param legs in their order, those that are out too: the mirror stays the same device without them
 * @throws PenstockError `child-read-only`
 */
export function mirrorInfo(name: string, legs: readonly LegFacts[]): DeviceInfo {
  const infos = legs.map(({ info }) => info);
  const largest = (value: (info: DeviceInfo) => number): number => Math.max(...infos.map(value));
  const smallest = (value: (info: DeviceInfo) => number): number => Math.min(...infos.map(value));
  const block = largest((info) => info.blockSizeBytes);
  const wholeBlocks = (bytes: number): number => bytes - (bytes % block);
  const maxTransferBytes = wholeBlocks(smallest((info) => info.maxTransferBytes));
  return {
    name,
    kind: "mirror",
    sizeBytes: wholeBlocks(smallest((info) => info.sizeBytes)),
    blockSizeBytes: block,
    physicalBlockSizeBytes: largest((info) => Math.max(info.physicalBlockSizeBytes, block)),
    optimalIoBytes: Math.min(
      largest((info) => Math.max(info.optimalIoBytes, block)),
      maxTransferBytes,
    ),
    maxTransferBytes,
    readOnly: readOnlyOf(infos),
    volatileCache: infos.some(({ volatileCache }) => volatileCache),
    discardGranularityBytes: largest((info) => Math.max(info.discardGranularityBytes, block)),
    // Children lost with their volatile data come back as others: so does the mirror.
    instanceId: uuidOfName(`mirror:${infos.map(({ instanceId }) => instanceId).join(",")}`),
    // A child may drop while its memory is lent; the client's own memory is moved instead.
    lendsReads: false,
  };
}

/** How legs are told to discard. */
export type DiscardBy = "discard" | "write-zeroes" | "refuse";

/** All legs alike: one that differs after a discard would be another content. */
export function discardBy(legs: readonly LegFacts[]): DiscardBy {
  if (allDo(legs, "discard")) return "discard";
  return allDo(legs, "writeZeroes") ? "write-zeroes" : "refuse";
}

export function mirrorOperations(legs: readonly LegFacts[]): OperationTable {
  const translateIf = (can: boolean): Support => (can ? Support.translate : Support.refuse);
  return {
    read: Support.translate,
    write: Support.translate,
    // Legs that have nothing to flush are left out.
    flush: translateIf(legs.some(({ operations }) => operations.flush !== Support.refuse)),
    discard: translateIf(discardBy(legs) !== "refuse"),
    writeZeroes: translateIf(allDo(legs, "writeZeroes")),
    // The mirror compares by itself, under its own lock.
    compare: Support.translate,
    compareAndWrite: Support.translate,
    blockStatus: translateIf(allDo(legs, "blockStatus")),
  };
}

function allDo(legs: readonly LegFacts[], name: keyof OperationTable): boolean {
  return legs.every(({ operations }) => operations[name] !== Support.refuse);
}

/** A child that cannot be written beside others that can would be out at the first write. */
function readOnlyOf(infos: readonly DeviceInfo[]): boolean {
  const readOnly = infos.filter((info) => info.readOnly);
  if (readOnly.length === 0) return false;
  if (readOnly.length === infos.length) return true;
  const names = readOnly.map(({ name }) => name).join(", ");
  throw new PenstockError({
    code: "child-read-only",
    message: `${names} is read-only and other children are not: a mirror needs all alike`,
    details: { readOnly: readOnly.map(({ name }) => name) },
  });
}
