/**
 * formatPool: an empty pool on devices, in the state of one that was exported: it is imported at
 * once by whoever makes it, and the first checkpoint marks labels and ring in use.
 *
 *   areas zeroed, synced --> ring zeroed --> texts and labels, synced
 *
 * A crash before the end leaves no label that is right, or a pool that is there and empty.
 *
 * spec: docs/internals/pool-format.md, Labels
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status, statusName } from "../../block/status.ts";
import { PenstockError } from "../../util/errors.ts";
import { areaStarts, deviceBlocks, LABEL_AREA_BYTES } from "../disks/label-areas.ts";
import {
  CHUNK_BLOCKS_MAX,
  CHUNK_BLOCKS_MIN,
  LabelState,
  NAME_BYTES_MAX,
  type PoolLabel,
} from "../disks/label-format.ts";
import { PoolDisks } from "../disks/pool-disks.ts";
import { type DiskContent, probeDisk } from "../disks/probe-disk.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { CreatePoolOptions } from "../pool-info.ts";
import { addressOf, BLOCK_BYTES, DISKS_MAX, LABEL_AREA_BLOCKS, poolSizes } from "../pool-layout.ts";
import { CHECKSUM_KIND_DEFAULT, CHECKSUM_KINDS } from "../volumes/block-checksum.ts";
import { writeLabel } from "./label-writer.ts";

const MIB = 2 ** 20;
export const DISK_BYTES_MIN = 16 * MIB;
/** The largest record of the log, of properties, in both copies of its frame. */
const TRANSFER_BYTES_MIN = 256 * 1024;
/** It holds the log. */
const FIRST_DISK_BYTES_MIN = 32 * MIB;
const CHUNK_BYTES_DEFAULT = MIB;
const WARN_PERCENT_DEFAULT = 80;
const CRITICAL_PERCENT_DEFAULT = 95;
const NO_SESSION = "0".repeat(16);

/**
 * @throws PenstockError `disk-not-empty`, `disk-too-small`, `disk-in-pool`, `name-invalid`,
 *   `chunk-size-invalid`, `thresholds-invalid`, `pool-newer`, `pool-faulted` (a disk failed)
 */
export async function formatPool(
  environment: PoolEnvironment,
  devices: readonly Device[],
  options: CreatePoolOptions,
): Promise<PoolLabel> {
  checkName(options.name);
  const contents: DiskContent[] = [];
  if (devices.length < 1 || devices.length > DISKS_MAX) {
    throw new PenstockError({
      code: "disk-too-small",
      message: `a pool has 1 to ${DISKS_MAX} disks, not ${devices.length}`,
    });
  }
  for (const [index, device] of devices.entries()) {
    checkDiskSize(device, index === 0 ? FIRST_DISK_BYTES_MIN : DISK_BYTES_MIN);
    contents.push(await checkedContent(device, options.force === true));
  }
  const label = newLabel(environment, devices, options);
  const disks = new PoolDisks(
    label.disks.map(({ uuid, blocks }, index) => {
      return { uuid, blocks, device: devices[index] as Device }; // the label is made of them
    }),
  );
  for (const [index, device] of devices.entries()) {
    await clearAreas(device, contents[index]);
    await flushDevice(device);
  }
  await zeroRing(devices[0] as Device, label); // there is one at least
  for (const device of devices) await writeTexts(device, label);
  const status = await writeLabel(environment.reactor, disks, label, 0);
  if (status !== Status.ok) throw diskFailed("a label", status);
  for (const device of devices) await flushDevice(device);
  return label;
}

/** @throws PenstockError `disk-too-small`, `transfer-too-small` */
export function checkDiskSize({ info }: Device, bytesMin: number): void {
  const { name, maxTransferBytes } = info;
  if (maxTransferBytes < TRANSFER_BYTES_MIN) {
    throw new PenstockError({
      code: "transfer-too-small",
      message: `${name} takes ${maxTransferBytes} bytes at once; a pool needs 256 KiB`,
      details: { device: name, maxTransferBytes, neededBytes: TRANSFER_BYTES_MIN },
    });
  }
  if (info.sizeBytes >= bytesMin) return;
  throw new PenstockError({
    code: "disk-too-small",
    message: `${info.name} has ${info.sizeBytes} bytes; a disk of a pool needs ${bytesMin}`,
    details: { device: info.name, sizeBytes: info.sizeBytes, neededBytes: bytesMin },
  });
}

/** What is on a device that may be written over. @throws as `formatPool` */
export async function checkedContent(device: Device, force: boolean): Promise<DiskContent> {
  const content = await probeDisk(device);
  if (content.kind === "empty" || force) return content;
  const { name } = device.info;
  const details = { device: name };
  if (content.kind === "pool") {
    const pool = content.label.name;
    const message = `${name} belongs to pool ${pool}; --force writes over it`;
    throw new PenstockError({ code: "disk-in-pool", message, details: { ...details, pool } });
  }
  if (content.kind === "newer") {
    const message = `${name} belongs to a pool of a newer Penstock; --force writes over it`;
    throw new PenstockError({ code: "pool-newer", message, details });
  }
  const what = content.kind === "foreign" ? content.what : "a damaged label of a pool";
  const message = `${name} is not empty (${what}); --force writes over it`;
  throw new PenstockError({ code: "disk-not-empty", message, details: { ...details, what } });
}

/** Zeroes both label areas, and the back area of the size that an old label knows. */
export async function clearAreas(device: Device, content: DiskContent | undefined): Promise<void> {
  const blocks = deviceBlocks(device);
  const sizes = new Set([blocks]);
  if (content?.kind === "pool") {
    for (const disk of content.label.disks) if (disk.blocks <= blocks) sizes.add(disk.blocks);
  }
  for (const size of sizes) {
    for (const start of areaStarts(size)) {
      await writeBytes(device, start * BLOCK_BYTES, new Uint8Array(LABEL_AREA_BYTES));
    }
  }
}

/** Zeroes the label area at the end that a device has by now. */
export async function clearBackArea(device: Device): Promise<void> {
  const [, start] = areaStarts(deviceBlocks(device));
  await writeBytes(device, start * BLOCK_BYTES, new Uint8Array(LABEL_AREA_BYTES));
}

/** Block 0 of both areas: for people who look at the disk. */
export async function writeTexts(device: Device, label: PoolLabel): Promise<void> {
  const text = new Uint8Array(BLOCK_BYTES);
  const { name, poolUuid } = label;
  text.set(Buffer.from(`Penstock pool ${name} ${poolUuid}\nDo not write to this disk.\n`));
  for (const start of areaStarts(deviceBlocks(device))) {
    await writeBytes(device, start * BLOCK_BYTES, text);
  }
}

/** @throws PenstockError `pool-faulted` */
export async function flushDevice(device: Device): Promise<void> {
  const status = await new AwaitedRequest().run(device, { operation: Operation.flush });
  if (status !== Status.ok) throw diskFailed(device.info.name, status);
}

function checkName(name: string): void {
  const isText = name.isWellFormed() && !/[\p{Cc}/]/u.test(name) && name.trim() === name;
  if (isText && name !== "" && Buffer.byteLength(name) <= NAME_BYTES_MAX) return;
  throw new PenstockError({
    code: "name-invalid",
    message: `a pool's name has 1 to ${NAME_BYTES_MAX} bytes of text without "/": ${name}`,
    details: { name },
  });
}

function chunkBlocksOf(chunkBytes: number): number {
  const blocks = chunkBytes / BLOCK_BYTES;
  const isSound = Number.isInteger(blocks) && (blocks & (blocks - 1)) === 0;
  if (isSound && blocks >= CHUNK_BLOCKS_MIN && blocks <= CHUNK_BLOCKS_MAX) return blocks;
  throw new PenstockError({
    code: "chunk-size-invalid",
    message: `found chunks of ${chunkBytes} bytes, expected a power of two from 64 KiB to 4 MiB`,
    details: { chunkBytes },
  });
}

function thresholdsOf(options: CreatePoolOptions) {
  const warnPercent = options.warnPercent ?? WARN_PERCENT_DEFAULT;
  const criticalPercent = options.criticalPercent ?? CRITICAL_PERCENT_DEFAULT;
  if (criticalPercent === 0 || warnPercent <= criticalPercent) {
    return { warnPercent, criticalPercent };
  }
  throw new PenstockError({
    code: "thresholds-invalid",
    message:
      `found a warning at ${warnPercent} % and the critical state at ${criticalPercent} %, ` +
      "expected the warning not behind it",
    details: { warnPercent, criticalPercent },
  });
}

function newLabel(
  environment: PoolEnvironment,
  devices: readonly Device[],
  options: CreatePoolOptions,
): PoolLabel {
  const nowMs = environment.nowMs();
  const sizes = poolSizes(devices.map(deviceBlocks));
  return {
    poolUuid: options.uuid ?? environment.makeUuid(),
    compat: 0,
    roCompat: 0,
    incompat: 0,
    diskIndex: 0,
    generation: 1,
    session: NO_SESSION,
    logSequence: 1,
    logPosition: 0,
    logUnitBytes: devices[0]?.info.blockSizeBytes ?? BLOCK_BYTES,
    logAddress: addressOf(0, LABEL_AREA_BLOCKS),
    logBlocks: sizes.logBytes / BLOCK_BYTES,
    chunkBlocks: chunkBlocksOf(options.chunkBytes ?? CHUNK_BYTES_DEFAULT),
    epoch: 1,
    checksumKind: CHECKSUM_KINDS.indexOf(options.checksum ?? CHECKSUM_KIND_DEFAULT),
    state: LabelState.exported,
    nextObjectId: 1,
    prevCrc: 0,
    createdMs: nowMs,
    writtenMs: nowMs,
    objectsRoot: emptyPointer(),
    propertiesRoot: emptyPointer(),
    dataBlocks: 0,
    pageBlocks: 0,
    heldBlocks: 0,
    overCommitPercent: options.overCommitPercent ?? 0,
    ...thresholdsOf(options),
    name: options.name,
    holder: "",
    engineUuid: environment.engineUuid,
    losses: 0,
    disks: devices.map((device) => ({
      uuid: environment.makeUuid(),
      instanceId: device.info.instanceId,
      blocks: deviceBlocks(device),
      spaceRoot: emptyPointer(),
      freeBlocks: deviceBlocks(device),
      state: 1,
    })),
  };
}

/** Its space is there for ever: a full medium below cannot stop the log. */
async function zeroRing(device: Device, { logBlocks }: PoolLabel): Promise<void> {
  const start = LABEL_AREA_BLOCKS * BLOCK_BYTES;
  const length = logBlocks * BLOCK_BYTES;
  const what = { operation: Operation.writeZeroes, offset: start, length };
  const request = new AwaitedRequest();
  const status = await request.run(device, { ...what, flags: RequestFlag.noUnmap });
  if (status === Status.ok) return;
  const zeroes = new Uint8Array(Math.min(device.info.maxTransferBytes, MIB));
  for (let done = 0; done < length; done += zeroes.length) {
    const piece = zeroes.subarray(0, Math.min(zeroes.length, length - done));
    await writeBytes(device, start + done, piece);
  }
}

async function writeBytes(device: Device, offset: number, bytes: Uint8Array): Promise<void> {
  const { slabs } = device.reactor.io;
  const slab = slabs.allocate(bytes.length);
  try {
    slab.bytes.set(bytes);
    const request = new AwaitedRequest();
    request.segments.push(slab.id, 0, bytes.length);
    const what = { operation: Operation.write, offset, length: bytes.length };
    const status = await request.run(device, what);
    if (status !== Status.ok) throw diskFailed(device.info.name, status);
  } finally {
    slabs.release(slab);
  }
}

function diskFailed(what: string, status: Status): PenstockError {
  return new PenstockError({
    code: "pool-faulted",
    message: `${what} could not be written: ${statusName(status)}`,
    details: { status: statusName(status) },
  });
}
