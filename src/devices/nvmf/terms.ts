/**
 * What a controller's word means for a device of ours: its description, and whether a namespace
 * that came back is still the one that was there. Pure.
 */

import { type DeviceInfo, TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { type OperationTable, Support } from "../../block/operation.ts";
import { Fuses, Oncs } from "../../proto/nvme/identify-controller.ts";
import { Nsattr, Nsfeat } from "../../proto/nvme/identify-namespace.ts";
import { PenstockError } from "../../util/errors.ts";
import type { ControllerSession, NamespaceTerms } from "./controller-session.ts";

const OPTIMAL_IO_BYTES = 128 * 1024;
const PHYSICAL_BLOCK_BYTES = 4096;
/** CAP.MPSMIN is 0 on fabrics: MDTS counts in pages of 4 KiB. */
const PAGE_BYTES = 4096;
/** NLB has 16 bits. */
const BLOCKS_MAX = 65_536;
/** A controller that has to write all of it must be done well within the time-out. */
const ZERO_BYTES_MAX = 32 * 1024 * 1024;
/** One range of Dataset Management, the same. */
const DISCARD_BYTES_MAX = 1024 * 1024 * 1024;

export interface TermsOptions {
  /** The stage, canonical: "nvmf://127.0.0.1:4420/nqn...". */
  readonly name: string;
  /** Where the controller has no instance id: one that no opening before had. */
  readonly instanceId: string;
  readonly readOnly?: boolean;
}

/** What a namespace's device can ask for, over the path in use. */
export interface Abilities {
  readonly nsid: number;
  readonly blockBytes: number;
  /** What is acknowledged needs a flush to survive power loss. */
  readonly hasCache: boolean;
  /** A Flush is sent: to targets of ours always, so that no flush succeeds without its target. */
  readonly flushes: boolean;
  readonly compares: boolean;
  readonly writesZeroes: boolean;
  /** Deallocates what reads as zeroes then: only targets of ours promise it. */
  readonly zeroesByDeallocating: boolean;
  readonly zeroBytesMax: number;
  readonly discardBytesMax: number;
  /** Longest fused compare and write; 0: there is none. */
  readonly compareAndWriteBytesMax: number;
}

export function abilitiesOf(session: ControllerSession): Abilities {
  const { controller, namespace, limits, instanceId } = session;
  const { blockBytes, nsid, fields } = namespace;
  const isDsm = (controller.oncs & Oncs.datasetManagement) !== 0;
  const wzsl = limits?.wzsl ?? 0;
  const zeroMost = Math.min(ZERO_BYTES_MAX, BLOCKS_MAX * blockBytes);
  const dmrsl = limits?.dmrsl ?? 0;
  const isOwn = (fields.nsfeat & Nsfeat.atomicUnits) !== 0;
  const atomicBlocks = (isOwn ? fields.nacwu : controller.acwu) + 1;
  const isFused = (controller.fuses & Fuses.compareAndWrite) !== 0;
  return {
    nsid,
    blockBytes,
    hasCache: namespace.hasCache,
    flushes: namespace.hasCache || instanceId !== null,
    compares: (controller.oncs & Oncs.compare) !== 0,
    writesZeroes: (controller.oncs & Oncs.writeZeroes) !== 0,
    zeroesByDeallocating: instanceId !== null && isDsm && fields.dlfeat !== 0,
    zeroBytesMax: wzsl === 0 ? zeroMost : Math.min(zeroMost, PAGE_BYTES * 2 ** wzsl),
    discardBytesMax:
      dmrsl === 0 ? DISCARD_BYTES_MAX : Math.min(DISCARD_BYTES_MAX, dmrsl * blockBytes),
    compareAndWriteBytesMax: isFused ? atomicBlocks * blockBytes : 0,
  };
}

export function transferBytesMax({ controller }: ControllerSession): number {
  const { mdts } = controller;
  return mdts === 0 ? TRANSFER_BYTES_MAX : Math.min(TRANSFER_BYTES_MAX, PAGE_BYTES * 2 ** mdts);
}

/** @throws PenstockError `size-invalid` */
export function describeNamespace(session: ControllerSession, options: TermsOptions): DeviceInfo {
  const { namespace, instanceId } = session;
  const { sizeBytes, blockBytes, fields } = namespace;
  const { name } = options;
  if (!Number.isSafeInteger(sizeBytes)) {
    const message = `${name} has ${sizeBytes} bytes, more than 2^53`;
    throw new PenstockError({ code: "size-invalid", message, details: { sizeBytes } });
  }
  const maxTransferBytes = transferBytesMax(session);
  return {
    name,
    kind: "nvmf",
    sizeBytes,
    blockSizeBytes: blockBytes,
    physicalBlockSizeBytes: PHYSICAL_BLOCK_BYTES,
    optimalIoBytes: Math.min(OPTIMAL_IO_BYTES, maxTransferBytes),
    maxTransferBytes,
    readOnly: options.readOnly === true || (fields.nsattr & Nsattr.writeProtected) !== 0,
    volatileCache: namespace.hasCache,
    discardGranularityBytes: PHYSICAL_BLOCK_BYTES,
    instanceId: instanceId ?? options.instanceId,
    lendsReads: false,
  };
}

/** Why a namespace that came back cannot go on for the one that `info` describes, or null. */
export function incompatibility(
  info: DeviceInfo,
  before: NamespaceTerms,
  session: ControllerSession,
): string | null {
  const { namespace } = session;
  if (namespace.identity !== before.identity) {
    return `it came back as namespace ${namespace.identity} instead of ${before.identity}`;
  }
  if (namespace.blockBytes !== info.blockSizeBytes) {
    return `it came back with blocks of ${namespace.blockBytes} bytes`;
  }
  if (namespace.sizeBytes < info.sizeBytes) {
    return `it came back with ${namespace.sizeBytes} bytes instead of ${info.sizeBytes}`;
  }
  const isReadOnly = (namespace.fields.nsattr & Nsattr.writeProtected) !== 0;
  if (isReadOnly && !info.readOnly) return "it came back read-only";
  if (transferBytesMax(session) < info.maxTransferBytes) {
    return `it came back taking ${transferBytesMax(session)} bytes at a time`;
  }
  return null;
}

export function operationsOf(abilities: Abilities): OperationTable {
  const { writesZeroes, zeroesByDeallocating, compares } = abilities;
  return {
    read: Support.native,
    write: Support.native,
    flush: abilities.hasCache ? Support.native : Support.emulated,
    discard: zeroesByDeallocating ? Support.native : Support.emulated,
    writeZeroes: writesZeroes ? Support.native : Support.emulated,
    compare: compares ? Support.native : Support.emulated,
    compareAndWrite: abilities.compareAndWriteBytesMax > 0 ? Support.native : Support.refuse,
    blockStatus: Support.emulated,
  };
}
