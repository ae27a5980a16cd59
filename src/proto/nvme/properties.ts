/**
 * Controller properties: the registers that fabrics hosts read and write by Property Get and Set.
 *
 * CAP is 8 bytes and never a number here: its two words travel as `low` and `high`. Stateless.
 *
 * spec: Base 2.0 3.1.3, 6.5, 6.6
 */

import { AdminOpcode, FabricsType, Psdt, SglType } from "./constants.ts";
import type { Sqe } from "./sqe.ts";

/** OFST of a property. spec: Base 2.0 figure 35 */
export const PropertyOffset = {
  capabilities: 0x00,
  version: 0x08,
  configuration: 0x14,
  status: 0x1c,
  subsystemReset: 0x20,
} as const;

/** VS: version 2.0.0 of the base specification, which our controllers say they are. */
export const VERSION_2_0 = 0x0002_0000;

/** A value of 64 bits, or of 32 with `high` 0. */
export interface PropertyValue {
  readonly low: number;
  readonly high: number;
}

/** CAP, in the terms of figure 36; sizes are what they mean, not their encoding. */
export interface Capabilities {
  /** MQES, 1-based: entries of the longest queue, 2 to 65,536. */
  readonly queueEntriesMax: number;
  /** CQR: queues are contiguous, as fabrics require. */
  readonly contiguousQueues: boolean;
  /** TO, milliseconds in steps of 500, up to 127,500: how long CSTS.RDY may take. */
  readonly readyTimeoutMs: number;
  /** NSSRS: NSSR is there. */
  readonly subsystemReset: boolean;
  /** CSS bit 0: the NVM command set. */
  readonly nvmCommandSet: boolean;
  /** CSS bit 6: Identify CNS 05h to 08h and 1Ch work. */
  readonly commandSets: boolean;
  /** CSS bit 7: no I/O command set, as on a discovery controller. */
  readonly adminOnly: boolean;
  /** CRMS bit 0: controller ready with media. */
  readonly readyWithMedia: boolean;
}

export function encodeCapabilities(capabilities: Capabilities): PropertyValue {
  const queues = (capabilities.queueEntriesMax - 1) & 0xffff;
  const timeout = Math.min(255, Math.ceil(capabilities.readyTimeoutMs / 500));
  const low = queues | (capabilities.contiguousQueues ? 1 << 16 : 0) | (timeout << 24);
  // Bits 32-63. MPSMIN and MPSMAX (bits 48-55) are 0: memory pages of 4 KiB.
  const high =
    (capabilities.subsystemReset ? 1 << 4 : 0) |
    (capabilities.nvmCommandSet ? 1 << 5 : 0) |
    (capabilities.commandSets ? 1 << 11 : 0) |
    (capabilities.adminOnly ? 1 << 12 : 0) |
    (capabilities.readyWithMedia ? 1 << 27 : 0);
  return { low: low >>> 0, high: high >>> 0 };
}

export function decodeCapabilities({ low, high }: PropertyValue): Capabilities {
  return {
    queueEntriesMax: (low & 0xffff) + 1,
    contiguousQueues: (low & (1 << 16)) !== 0,
    readyTimeoutMs: (low >>> 24) * 500,
    subsystemReset: (high & (1 << 4)) !== 0,
    nvmCommandSet: (high & (1 << 5)) !== 0,
    commandSets: (high & (1 << 11)) !== 0,
    adminOnly: (high & (1 << 12)) !== 0,
    readyWithMedia: (high & (1 << 27)) !== 0,
  };
}

/** CC.SHN. */
export const ShutdownNotification = { none: 0, normal: 1, abrupt: 2 } as const;
/** CC.CSS: which command sets the host enables. spec: Base 2.0 figure 46 */
export const SelectedCommandSet = { nvm: 0, all: 6, adminOnly: 7 } as const;

/** CC in the terms of figure 46. */
export interface Configuration {
  readonly enable: boolean;
  /** CSS, 3 bits. */
  readonly commandSet: number;
  /** MPS, 4 bits: memory pages of 2^(12 + MPS) bytes. */
  readonly memoryPageShift: number;
  /** AMS, 3 bits. */
  readonly arbitration: number;
  /** SHN, 2 bits. */
  readonly shutdown: number;
  /** IOSQES: 6 for entries of 64 bytes. */
  readonly sqeShift: number;
  /** IOCQES: 4 for entries of 16 bytes. */
  readonly cqeShift: number;
  /** CRIME: controller ready independent of media. */
  readonly readyIndependentOfMedia: boolean;
}

export function encodeConfiguration(configuration: Configuration): number {
  const value =
    (configuration.enable ? 1 : 0) |
    (configuration.commandSet << 4) |
    (configuration.memoryPageShift << 7) |
    (configuration.arbitration << 11) |
    (configuration.shutdown << 14) |
    (configuration.sqeShift << 16) |
    (configuration.cqeShift << 20) |
    (configuration.readyIndependentOfMedia ? 1 << 24 : 0);
  return value >>> 0;
}

export function decodeConfiguration(value: number): Configuration {
  return {
    enable: (value & 1) !== 0,
    commandSet: (value >>> 4) & 7,
    memoryPageShift: (value >>> 7) & 15,
    arbitration: (value >>> 11) & 7,
    shutdown: (value >>> 14) & 3,
    sqeShift: (value >>> 16) & 15,
    cqeShift: (value >>> 20) & 15,
    readyIndependentOfMedia: (value & (1 << 24)) !== 0,
  };
}

/** CSTS.SHST. */
export const ShutdownStatus = { normal: 0, occurring: 1, complete: 2 } as const;

/** CSTS in the terms of figure 47. */
export interface ControllerStatus {
  readonly ready: boolean;
  /** CFS: the controller failed fatally. */
  readonly fatal: boolean;
  /** SHST: `ShutdownStatus`. */
  readonly shutdown: number;
  /** NSSRO: a subsystem reset happened. */
  readonly subsystemReset: boolean;
}

export function encodeControllerStatus(status: ControllerStatus): number {
  return (
    (status.ready ? 1 : 0) |
    (status.fatal ? 2 : 0) |
    (status.shutdown << 2) |
    (status.subsystemReset ? 1 << 4 : 0)
  );
}

export function decodeControllerStatus(value: number): ControllerStatus {
  return {
    ready: (value & 1) !== 0,
    fatal: (value & 2) !== 0,
    shutdown: (value >>> 2) & 3,
    subsystemReset: (value & (1 << 4)) !== 0,
  };
}

/** What the dwords of Property Get and Property Set say. */
export interface PropertyCommand {
  /** ATTRIB bits 0-2: 0 is 4 bytes, 1 is 8 bytes; -1 stands for a reserved value. */
  readonly sizeBytes: 4 | 8 | -1;
  /** `PropertyOffset`, known or not. */
  readonly offset: number;
  /** Of Property Set; zero otherwise. */
  readonly low: number;
  readonly high: number;
}

export function decodeProperty(sqe: Sqe): PropertyCommand {
  const size = sqe.cdw10 & 7;
  return {
    sizeBytes: size === 0 ? 4 : size === 1 ? 8 : -1,
    offset: sqe.cdw11,
    low: sqe.cdw12,
    high: sqe.cdw13,
  };
}

/** Fills `sqe` but for its cid. The answer's DW0 and DW1 are the value. */
export function encodePropertyGet(offset: number, sizeBytes: 4 | 8, sqe: Sqe): void {
  fabricsWithoutData(FabricsType.propertyGet, sqe);
  sqe.cdw10 = sizeBytes === 8 ? 1 : 0;
  sqe.cdw11 = offset;
}

/** Fills `sqe` but for its cid: CC and NSSR, the writable properties, have 4 bytes. */
export function encodePropertySet(offset: number, value: number, sqe: Sqe): void {
  fabricsWithoutData(FabricsType.propertySet, sqe);
  sqe.cdw11 = offset;
  sqe.cdw12 = value;
}

function fabricsWithoutData(type: number, sqe: Sqe): void {
  sqe.clear();
  sqe.opcode = AdminOpcode.fabrics;
  sqe.psdt = Psdt.sgl;
  sqe.nsid = type;
  sqe.sglType = SglType.transportDataBlock;
}
