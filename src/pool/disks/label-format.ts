/**
 * PoolLabel: the whole root of a pool in 4096 bytes, and its codec. Pure.
 *
 * spec: docs/internals/pool-format.md, Labels (the table of fields; `AT` here has the same offsets)
 *
 * What a label says is checked as if an enemy had written it: a right checksum only says that it
 * is as it was when it was written.
 */

import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import {
  getHex64,
  getName,
  getU64,
  getUuid,
  putHex64,
  putName,
  putU64,
  putUuid,
} from "../fixed-record.ts";
import {
  emptyPointer,
  readPointer,
  type RootPointer,
  writePointer,
} from "../pages/root-pointer.ts";
import {
  type Address,
  BLOCK_BYTES,
  blockOf,
  DISKS_MAX,
  diskOf,
  LABEL_AREA_BLOCKS,
} from "../pool-layout.ts";

export const LABEL_BYTES = BLOCK_BYTES;
export const NAME_BYTES_MAX = 64;
export const HOLDER_BYTES_MAX = 128;
export const CHUNK_BLOCKS_MIN = 16;
export const CHUNK_BLOCKS_MAX = 1024;
/** There has been a snapshot: objects have origins, and pages are shared. */
export const Incompat = { snapshots: 1 } as const;
/** What this code knows of the bits that say who may read and write. */
export const INCOMPAT_KNOWN = Incompat.snapshots;
export const RO_COMPAT_KNOWN = 0;

export const LabelState = {
  inUse: 1,
  /** Nothing is to be replayed. */
  exported: 2,
  destroyed: 3,
  /** In use, and a sync has failed: volatile data counts as lost. */
  syncFailed: 4,
} as const;
export type LabelState = (typeof LabelState)[keyof typeof LabelState];

/** Why bytes are not a label that counts. */
export type LabelProblem = "no-magic" | "crc" | "newer" | "fields";

export interface LabelDisk {
  readonly uuid: string;
  /** Of the device as it was when the session began. */
  readonly instanceId: string;
  readonly blocks: number;
  readonly spaceRoot: Readonly<RootPointer>;
  readonly freeBlocks: number;
  /** 1 in use. */
  readonly state: number;
}

export interface PoolLabel {
  readonly poolUuid: string;
  readonly compat: number;
  readonly roCompat: number;
  readonly incompat: number;
  /** Of the disk that this copy was on. */
  readonly diskIndex: number;
  readonly generation: number;
  /** 16 hex digits. */
  readonly session: string;
  readonly logSequence: number;
  /** Units from the ring's start. */
  readonly logPosition: number;
  readonly logUnitBytes: number;
  readonly logAddress: Address;
  readonly logBlocks: number;
  readonly chunkBlocks: number;
  readonly epoch: number;
  /** Place in CHECKSUM_KINDS. */
  readonly checksumKind: number;
  readonly state: LabelState;
  readonly nextObjectId: number;
  readonly prevCrc: number;
  readonly createdMs: number;
  readonly writtenMs: number;
  readonly objectsRoot: Readonly<RootPointer>;
  readonly propertiesRoot: Readonly<RootPointer>;
  readonly dataBlocks: number;
  readonly pageBlocks: number;
  readonly heldBlocks: number;
  readonly overCommitPercent: number;
  readonly warnPercent: number;
  readonly criticalPercent: number;
  readonly name: string;
  readonly holder: string;
  readonly engineUuid: string;
  readonly losses: number;
  /** In the order of their indices. */
  readonly disks: readonly LabelDisk[];
}

const MAGIC = "PENSPOOL";
const VERSION = 1;
const CHECKSUM_KIND_MAX = 3;
/** Addresses have 42 bits for the block on a disk. */
const DISK_BLOCKS_MAX = 2 ** 42;
const DISK_IN_USE = 1;
const DISK_BYTES = 80;

const AT = {
  version: 8,
  length: 10,
  crc: 12,
  poolUuid: 16,
  compat: 32,
  roCompat: 36,
  incompat: 40,
  diskIndex: 44,
  diskCount: 46,
  generation: 48,
  session: 56,
  logSequence: 64,
  logPosition: 72,
  logUnit: 76,
  logAddress: 80,
  logBlocks: 88,
  chunkBlocks: 92,
  epoch: 96,
  checksumKind: 100,
  state: 101,
  nextObjectId: 104,
  prevCrc: 108,
  created: 112,
  written: 120,
  objectsRoot: 128,
  propertiesRoot: 152,
  dataBlocks: 224,
  pageBlocks: 232,
  heldBlocks: 240,
  overCommit: 248,
  warn: 252,
  critical: 254,
  name: 256,
  holder: 320,
  engineUuid: 448,
  losses: 464,
  disks: 512,
} as const;

const DISK_AT = { instanceId: 16, blocks: 32, spaceRoot: 40, freeBlocks: 64, state: 72 } as const;

/** @param bytes 4096 of them */
export function decodeLabel(bytes: Uint8Array): PoolLabel | LabelProblem {
  assert(bytes.length === LABEL_BYTES, "a label has 4096 bytes");
  const view = viewOf(bytes);
  for (let index = 0; index < MAGIC.length; index++) {
    if (view.getUint8(index) !== MAGIC.charCodeAt(index)) return "no-magic";
  }
  if (crcOf(bytes) !== view.getUint32(AT.crc, true)) return "crc";
  const version = view.getUint16(AT.version, true);
  if (version !== VERSION) return version > VERSION ? "newer" : "fields";
  if ((view.getUint32(AT.incompat, true) & ~INCOMPAT_KNOWN) !== 0) return "newer";
  const count = view.getUint16(AT.diskCount, true);
  if (count < 1 || count > DISKS_MAX) return "fields";
  const label = readLabel(view, count);
  return label !== null && isSound(label) ? label : "fields";
}

/** Of a label that is "newer": its unknown incompat bits; 0: only its version is. */
export function newerBits(bytes: Uint8Array): number {
  return (viewOf(bytes).getUint32(AT.incompat, true) & ~INCOMPAT_KNOWN) >>> 0;
}

/** Writes all of `into`, 4096 bytes. */
export function encodeLabel(label: PoolLabel, diskIndex: number, into: Uint8Array): void {
  assert(into.length === LABEL_BYTES, "a label has 4096 bytes");
  assert(diskIndex < label.disks.length, "a copy is for a disk of the pool");
  assert(isSound({ ...label, diskIndex }), "a label of ours is sound");
  into.fill(0);
  const view = viewOf(into);
  into.set(Buffer.from(MAGIC, "latin1"));
  view.setUint16(AT.version, VERSION, true);
  view.setUint16(AT.length, LABEL_BYTES, true);
  view.setUint16(AT.diskIndex, diskIndex, true);
  view.setUint16(AT.diskCount, label.disks.length, true);
  putIdentity(view, label);
  putLog(view, label);
  putRoots(view, label);
  for (const [index, disk] of label.disks.entries()) {
    putDisk(view, AT.disks + index * DISK_BYTES, disk);
  }
  view.setUint32(AT.crc, crcOf(into), true);
}

function putIdentity(view: DataView, label: PoolLabel): void {
  putUuid(view, AT.poolUuid, label.poolUuid);
  view.setUint32(AT.compat, label.compat, true);
  view.setUint32(AT.roCompat, label.roCompat, true);
  view.setUint32(AT.incompat, label.incompat, true);
  putU64(view, AT.generation, label.generation);
  putHex64(view, AT.session, label.session);
  view.setUint8(AT.state, label.state);
  putU64(view, AT.created, label.createdMs);
  putU64(view, AT.written, label.writtenMs);
  putName(view, AT.name, NAME_BYTES_MAX, label.name);
  putName(view, AT.holder, HOLDER_BYTES_MAX, label.holder);
  putUuid(view, AT.engineUuid, label.engineUuid);
  view.setUint32(AT.losses, label.losses, true);
  view.setUint32(AT.overCommit, label.overCommitPercent, true);
  view.setUint16(AT.warn, label.warnPercent, true);
  view.setUint16(AT.critical, label.criticalPercent, true);
}

function putLog(view: DataView, label: PoolLabel): void {
  putU64(view, AT.logSequence, label.logSequence);
  view.setUint32(AT.logPosition, label.logPosition, true);
  view.setUint32(AT.logUnit, label.logUnitBytes, true);
  putU64(view, AT.logAddress, label.logAddress);
  view.setUint32(AT.logBlocks, label.logBlocks, true);
  view.setUint32(AT.prevCrc, label.prevCrc, true);
}

function putRoots(view: DataView, label: PoolLabel): void {
  view.setUint32(AT.chunkBlocks, label.chunkBlocks, true);
  view.setUint32(AT.epoch, label.epoch, true);
  view.setUint8(AT.checksumKind, label.checksumKind);
  view.setUint32(AT.nextObjectId, label.nextObjectId, true);
  writePointer(view, AT.objectsRoot, label.objectsRoot);
  writePointer(view, AT.propertiesRoot, label.propertiesRoot);
  putU64(view, AT.dataBlocks, label.dataBlocks);
  putU64(view, AT.pageBlocks, label.pageBlocks);
  putU64(view, AT.heldBlocks, label.heldBlocks);
}

function putDisk(view: DataView, at: number, disk: LabelDisk): void {
  putUuid(view, at, disk.uuid);
  putUuid(view, at + DISK_AT.instanceId, disk.instanceId);
  putU64(view, at + DISK_AT.blocks, disk.blocks);
  writePointer(view, at + DISK_AT.spaceRoot, disk.spaceRoot);
  putU64(view, at + DISK_AT.freeBlocks, disk.freeBlocks);
  view.setUint8(at + DISK_AT.state, disk.state);
}

/** Null: a name is not text. */
function readLabel(view: DataView, diskCount: number): PoolLabel | null {
  const name = getName(view, AT.name, NAME_BYTES_MAX);
  const holder = getName(view, AT.holder, HOLDER_BYTES_MAX);
  if (name === null || holder === null) return null;
  return {
    poolUuid: getUuid(view, AT.poolUuid),
    compat: view.getUint32(AT.compat, true),
    roCompat: view.getUint32(AT.roCompat, true),
    incompat: view.getUint32(AT.incompat, true),
    diskIndex: view.getUint16(AT.diskIndex, true),
    generation: getU64(view, AT.generation),
    session: getHex64(view, AT.session),
    logSequence: getU64(view, AT.logSequence),
    logPosition: view.getUint32(AT.logPosition, true),
    logUnitBytes: view.getUint32(AT.logUnit, true),
    logAddress: getU64(view, AT.logAddress),
    logBlocks: view.getUint32(AT.logBlocks, true),
    chunkBlocks: view.getUint32(AT.chunkBlocks, true),
    epoch: view.getUint32(AT.epoch, true),
    checksumKind: view.getUint8(AT.checksumKind),
    state: view.getUint8(AT.state) as LabelState, // `isSound` looks at it
    nextObjectId: view.getUint32(AT.nextObjectId, true),
    prevCrc: view.getUint32(AT.prevCrc, true),
    createdMs: getU64(view, AT.created),
    writtenMs: getU64(view, AT.written),
    objectsRoot: pointerAt(view, AT.objectsRoot),
    propertiesRoot: pointerAt(view, AT.propertiesRoot),
    dataBlocks: getU64(view, AT.dataBlocks),
    pageBlocks: getU64(view, AT.pageBlocks),
    heldBlocks: getU64(view, AT.heldBlocks),
    overCommitPercent: view.getUint32(AT.overCommit, true),
    warnPercent: view.getUint16(AT.warn, true),
    criticalPercent: view.getUint16(AT.critical, true),
    name,
    holder,
    engineUuid: getUuid(view, AT.engineUuid),
    losses: view.getUint32(AT.losses, true),
    disks: Array.from({ length: diskCount }, (_, index) =>
      diskAt(view, AT.disks + index * DISK_BYTES),
    ),
  };
}

function diskAt(view: DataView, at: number): LabelDisk {
  return {
    uuid: getUuid(view, at),
    instanceId: getUuid(view, at + DISK_AT.instanceId),
    blocks: getU64(view, at + DISK_AT.blocks),
    spaceRoot: pointerAt(view, at + DISK_AT.spaceRoot),
    freeBlocks: getU64(view, at + DISK_AT.freeBlocks),
    state: view.getUint8(at + DISK_AT.state),
  };
}

function pointerAt(view: DataView, at: number): RootPointer {
  const pointer = emptyPointer();
  readPointer(view, at, pointer);
  return pointer;
}

function isSound(label: PoolLabel): boolean {
  const { disks, generation, session, createdMs, writtenMs } = label;
  if (label.diskIndex >= disks.length || label.name === "") return false;
  if (!(generation >= 1 && generation < 2 ** 48) || session.length !== 16) return false;
  if (![createdMs, writtenMs, label.logSequence].every(Number.isSafeInteger)) return false;
  if (!Object.values<number>(LabelState).includes(label.state)) return false;
  if (label.checksumKind > CHECKSUM_KIND_MAX || label.epoch < 1) return false;
  if (new Set(disks.map(({ uuid }) => uuid)).size !== disks.length) return false;
  return isLogSound(label) && isSpaceSound(label) && arePointersSound(label);
}

function isLogSound(label: PoolLabel): boolean {
  const { logUnitBytes, logAddress, logBlocks, logPosition } = label;
  const first = label.disks[0];
  if (logUnitBytes !== 512 && logUnitBytes !== BLOCK_BYTES) return false;
  // The ring lies on the first disk, so that its address is a block of it.
  if (first === undefined || !(logAddress >= LABEL_AREA_BLOCKS)) return false;
  if (logBlocks < 1 || !(logAddress + logBlocks <= first.blocks - LABEL_AREA_BLOCKS)) return false;
  return logPosition < (logBlocks * BLOCK_BYTES) / logUnitBytes;
}

function isSpaceSound(label: PoolLabel): boolean {
  const { chunkBlocks, disks } = label;
  if (chunkBlocks < CHUNK_BLOCKS_MIN || chunkBlocks > CHUNK_BLOCKS_MAX) return false;
  if ((chunkBlocks & (chunkBlocks - 1)) !== 0) return false;
  let [blocks, free] = [0, 0];
  for (const disk of disks) {
    if (!(disk.blocks >= 2 * LABEL_AREA_BLOCKS && disk.blocks < DISK_BLOCKS_MAX)) return false;
    if (!(disk.freeBlocks <= disk.blocks) || disk.state !== DISK_IN_USE) return false;
    blocks += disk.blocks;
    free += disk.freeBlocks;
  }
  return blocks === free + label.dataBlocks + label.pageBlocks + label.heldBlocks;
}

function arePointersSound(label: PoolLabel): boolean {
  const { objectsRoot, propertiesRoot } = label;
  const spaceRoots = label.disks.map(({ spaceRoot }) => spaceRoot);
  return [objectsRoot, propertiesRoot, ...spaceRoots].every(
    ({ a, b, generation }) =>
      generation <= label.generation &&
      (a === 0) === (b === 0) &&
      isOnDisks(a, label) &&
      isOnDisks(b, label),
  );
}

function isOnDisks(address: Address, { disks }: PoolLabel): boolean {
  return blockOf(address) < (disks[diskOf(address)]?.blocks ?? 0);
}

function crcOf(bytes: Uint8Array): number {
  const before = crc32c(bytes, 0, AT.crc);
  const zeroes = crc32c(ZERO_CRC, 0, ZERO_CRC.length, before);
  return crc32c(bytes, AT.crc + 4, LABEL_BYTES - AT.crc - 4, zeroes);
}

const ZERO_CRC = new Uint8Array(4);

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
