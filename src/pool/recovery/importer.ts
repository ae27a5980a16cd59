/**
 * Import: from disks with labels and a log to a pool that is open for business.
 *
 *   findPool: labels --choice--> assembleParts --> importPool: sync, log read, its end judged,
 *   tail checked, records applied, checkpoint with a new session
 *
 * Nothing that the label or its log need is written before the last checkpoint's labels are
 * durable: a crash in the middle starts again from the same.
 *
 * spec: docs/internals/pool-format.md, The order of things, I
 */

import type { Device } from "../../block/device.ts";
import { Status, statusName } from "../../block/status.ts";
import { PenstockError } from "../../util/errors.ts";
import { readLabelAreas } from "../disks/label-areas.ts";
import { chooseLabel } from "../disks/label-choice.ts";
import {
  HOLDER_BYTES_MAX,
  LabelState,
  type PoolLabel,
  RO_COMPAT_KNOWN,
} from "../disks/label-format.ts";
import { judgeLogEnd } from "../log/log-end.ts";
import { frameOwner } from "../log/log-frame.ts";
import { type LogScan, readRing, scanLog } from "../log/log-scan.ts";
import type { ReplayStart } from "../log/pool-log.ts";
import { BLOCK_BYTES, diskOf } from "../pool-layout.ts";
import { awaitFlush } from "./await-call.ts";
import { faultError } from "./checkpointer.ts";
import { type DroppedRange, LogReplay } from "./log-replay.ts";
import { writeLabel } from "./label-writer.ts";
import { connectPressure, type PoolParts } from "./pool-parts.ts";
import { checkTail, type MissingBlocks } from "./tail-check.ts";

export type { DroppedRange };

export interface ImportFindings {
  /** It had been exported. */
  readonly wasClean: boolean;
  readonly framesReplayed: number;
  readonly recordsDropped: readonly DroppedRange[];
  /** Labels and frames of which one copy was bad. */
  readonly copiesRepaired: number;
  /** Frames that a forced import goes on without. */
  readonly logLost: { readonly first: number; readonly last: number } | null;
  readonly tookMs: number;
}

/** What lies on devices that are to be imported together. */
export interface FoundPool {
  readonly label: PoolLabel;
  /** In the order of the disk table. */
  readonly devices: readonly Device[];
  /** Disks of the table that have only older labels: a crash has ended its writing. */
  readonly lacking: readonly number[];
  readonly damagedCopies: number;
}

/** What came out of the log. */
interface Replayed {
  readonly framesReplayed: number;
  readonly recordsDropped: readonly DroppedRange[];
  readonly secondCopies: number;
  readonly logLost: { readonly first: number; readonly last: number } | null;
  /** Frames that a power loss took, as it may. */
  readonly framesDropped: number;
  readonly next: ReplayStart;
}

/** Kinds of devices whose claims do not say who else has them open. */
const REMOTE_KINDS: readonly string[] = ["nbd", "nvmf"];

/**
 * Reads all labels of the devices and chooses.
 * @throws PenstockError `not-a-pool`, `pool-incomplete`, `pool-newer`, `pool-in-use`,
 *   `label-damaged`, `disk-in-pool`, `disk-too-small`, `block-size-invalid`
 */
export async function findPool(
  devices: readonly Device[],
  { force, engineUuid }: { force: boolean; engineUuid: string },
): Promise<FoundPool> {
  const copies = [];
  for (const device of devices) copies.push(await readLabelAreas(device));
  const choice = chooseLabel(copies);
  const { label, lacking, damagedCopies } = choice;
  const ordered = choice.devices.map((place) => devices[place] as Device); // of what was given
  if (label.state === LabelState.destroyed) {
    throw new PenstockError({
      code: "not-a-pool",
      message: `pool ${label.name} on these disks has been destroyed`,
    });
  }
  for (const [index, device] of ordered.entries()) checkSize(device, label, index);
  checkUnit(ordered, label);
  const isRemote = ordered.some(({ info }) => REMOTE_KINDS.includes(info.kind));
  const isOpen = label.state === LabelState.inUse || label.state === LabelState.syncFailed;
  if (isRemote && isOpen && label.engineUuid !== engineUuid && !force) {
    throw new PenstockError({
      code: "pool-in-use",
      message: `pool ${label.name} seems to be in use by ${label.holder}, another engine`,
      details: { pool: label.name, holder: label.holder },
    });
  }
  return { label, devices: ordered, lacking, damagedCopies };
}

function checkSize({ info }: Device, label: PoolLabel, index: number): void {
  const sizeBytes = (label.disks[index]?.blocks ?? 0) * BLOCK_BYTES;
  if (info.sizeBytes >= sizeBytes) return;
  throw new PenstockError({
    code: "disk-too-small",
    message: `${info.name} has ${info.sizeBytes} bytes, and had ${sizeBytes} in the pool`,
    details: { device: info.name, sizeBytes: info.sizeBytes, neededBytes: sizeBytes },
  });
}

/** The log's frames are as large as its disk's blocks were when the pool was made. */
function checkUnit(devices: readonly Device[], label: PoolLabel): void {
  const info = devices[diskOf(label.logAddress)]?.info;
  if (info === undefined || info.blockSizeBytes <= label.logUnitBytes) return;
  throw new PenstockError({
    code: "block-size-invalid",
    message:
      `${info.name} has blocks of ${info.blockSizeBytes} bytes; ` +
      `pool ${label.name} was made on blocks of ${label.logUnitBytes}`,
    details: { device: info.name, blockSizeBytes: info.blockSizeBytes },
  });
}

export interface ImportHow {
  readonly force: boolean;
  /** As `FoundPool`. */
  readonly lacking: readonly number[];
  readonly damagedCopies: number;
}

/**
 * Replays the log and begins a session. When the parts are read-only nothing is written: the
 * state is in memory only.
 * @throws PenstockError `log-damaged`, `pool-newer`, `pool-damaged`, `pool-faulted`
 */
export async function importPool(
  parts: PoolParts,
  label: PoolLabel,
  { force, lacking, damagedCopies }: ImportHow,
): Promise<ImportFindings> {
  const { environment, disks, catalogue, space, log, checkpointer, isReadOnly } = parts;
  const { reactor } = environment;
  const startMs = reactor.clock.nowMs();
  checkRoCompat(parts, label);
  // What is read may be in the page cache only; what is written may reach the disk before it: the
  // sync has ended before anything is written. Reading goes on meanwhile.
  const sync = isReadOnly ? Promise.resolve(Status.ok) : awaitFlush(reactor, disks);
  const synced = async (): Promise<void> => {
    if ((await sync) !== Status.ok) throw faultError(label.name, disks.faultReason);
  };
  const wasClean = label.state === LabelState.exported;
  let replayed: Replayed;
  try {
    replayed = await readState(parts, label, { wasClean, force, synced });
  } finally {
    await synced();
  }
  space.setReserved(catalogue.reservedBlocks);
  if (!isReadOnly) {
    await completeLabel(parts, label, lacking);
    log.open({ ...replayed.next, session: parts.session, generation: label.generation });
    checkpointer.change(sessionOf(parts, label, replayed));
    await checkpointer.run("in use");
    space.endReplay();
    connectPressure(parts);
  }
  tell(parts, label, replayed);
  return {
    wasClean,
    framesReplayed: replayed.framesReplayed,
    recordsDropped: replayed.recordsDropped,
    copiesRepaired: damagedCopies + replayed.secondCopies,
    logLost: replayed.logLost,
    tookMs: reactor.clock.nowMs() - startMs,
  };
}

/**
 * The next label goes to the slot of the one before this: a disk that has nothing but that one
 * would have none at all for a moment.
 */
async function completeLabel(
  { environment, disks }: PoolParts,
  label: PoolLabel,
  lacking: readonly number[],
): Promise<void> {
  if (lacking.length === 0) return;
  const { reactor } = environment;
  let status = await writeLabel(reactor, disks, label, label.generation - 1, lacking);
  if (status === Status.ok) status = await awaitFlush(reactor, disks);
  if (status === Status.ok) return;
  throw faultError(label.name, disks.faultReason || `a label: ${statusName(status)}`);
}

interface ReadHow {
  readonly wasClean: boolean;
  readonly force: boolean;
  /** Settles when writes may begin; fails when they must not. */
  synced(): Promise<void>;
}

/** Objects, and what the log says of them and of the volumes' blocks. */
async function readState(parts: PoolParts, label: PoolLabel, how: ReadHow): Promise<Replayed> {
  const { catalogue, environment, isReadOnly } = parts;
  const onLost = (what: string): void =>
    environment.onEvent({
      level: "error",
      code: "pool-damage-found",
      message: `lost: ${what}`,
      pool: label.name,
    });
  // To get at what is left: nothing is written.
  await catalogue.load(how.force && isReadOnly ? onLost : null);
  return how.wasClean ? nothingReplayed(label) : await replayLog(parts, label, how);
}

function checkRoCompat({ isReadOnly }: PoolParts, { roCompat, name }: PoolLabel): void {
  const bits = (roCompat & ~RO_COMPAT_KNOWN) >>> 0;
  if (bits === 0 || isReadOnly) return;
  throw new PenstockError({
    code: "pool-newer",
    message: `pool ${name} can only be read here: feature bits 0x${bits.toString(16)} are unknown`,
    details: { pool: name, bits },
  });
}

function nothingReplayed({ logSequence, logPosition, prevCrc }: PoolLabel): Replayed {
  return {
    framesReplayed: 0,
    recordsDropped: [],
    secondCopies: 0,
    logLost: null,
    framesDropped: 0,
    next: { sequence: logSequence, position: logPosition, prevCrc },
  };
}

async function replayLog(
  parts: PoolParts,
  label: PoolLabel,
  { force, synced }: ReadHow,
): Promise<Replayed> {
  const { environment, disks, cache, space, applier, catalogue, checksum } = parts;
  const { reactor } = environment;
  const { logAddress, logBlocks, logUnitBytes } = label;
  const place = { address: logAddress, blocks: logBlocks, unitBytes: logUnitBytes };
  const { slab, ring } = await readRing(disks, place);
  try {
    const owner = frameOwner(label.poolUuid, label.session);
    const { logSequence: sequence, logPosition: position, prevCrc } = label;
    const scan = scanLog(ring, owner, { sequence, position, prevCrc });
    const isVolatileLost = mayHaveLost(parts, label);
    const end = judgeEnd(scan, label, { isVolatileLost, hasUnreadable: ring.hasUnreadable, force });
    const { buffer, byteOffset, length } = ring.bytes;
    const words = new Uint32Array(buffer, byteOffset, length / 4);
    const { frames } = scan;
    const { isReadOnly } = parts;
    const made = { reactor, disks, cache, space, sink: applier, trees: catalogue, isReadOnly };
    const replay = new LogReplay({ ...made, words, frames, beforeWrites: synced });
    replay.check();
    const tail = { reactor, disks, checksum };
    const missing: MissingBlocks = isVolatileLost
      ? await checkTail(tail, replay.tail(scan.mark))
      : new Map();
    replay.protect();
    if (parts.isMapRebuilt) await replay.foldSpace();
    await replay.apply(missing);
    if (applier.leftOut > 0 && !force) throw incompleteReplay(label, applier.leftOut);
    return {
      framesReplayed: frames.length,
      recordsDropped: replay.dropped,
      secondCopies: scan.secondCopies,
      ...end,
    };
  } finally {
    reactor.io.slabs.release(slab);
  }
}

/** Names what an import has failed for, where that is known. */
export function explainFailure({ lostMaps }: PoolParts, label: PoolLabel, error: unknown): unknown {
  if (lostMaps.size === 0) return error;
  const disks = [...lostMaps].join(", ");
  return new PenstockError({
    code: "pool-damaged",
    message:
      `both copies of a part of the map of the space of disk ${disks} of pool ${label.name} are ` +
      "lost: a forced import makes it anew",
    details: { pool: label.name, disks },
    cause: error,
  });
}

/** Without those the volumes would show what was there before. */
function incompleteReplay({ name }: PoolLabel, records: number): PenstockError {
  return new PenstockError({
    code: "pool-damaged",
    message:
      `${records} changes in the log of pool ${name} cannot be applied: ` +
      "pages of its trees cannot be read",
    retryable: true,
    details: { pool: name, records },
  });
}

/** Other instance ids, or a sync that failed: what was not synced may be gone. */
export function mayHaveLost({ disks }: PoolParts, label: PoolLabel): boolean {
  if (label.state === LabelState.syncFailed) return true;
  return label.disks.some(({ instanceId }, index) => instanceId !== disks.at(index).instanceId);
}

/** @throws PenstockError `log-damaged` unless forced */
function judgeEnd(
  scan: LogScan,
  label: PoolLabel,
  how: { isVolatileLost: boolean; hasUnreadable: boolean; force: boolean },
): Pick<Replayed, "logLost" | "framesDropped" | "next"> {
  const { mark, later, generation, end } = scan;
  const last = end.sequence - 1;
  const { isVolatileLost, hasUnreadable } = how;
  const verdict = judgeLogEnd({
    last,
    mark,
    hasLater: later !== null,
    generation,
    labelGeneration: label.generation,
    isVolatileLost,
    hasUnreadable,
  });
  const highest = Math.max(last, mark, later?.last ?? 0);
  // Sequences are never used twice, those of lost frames included.
  const next = { ...end, sequence: highest + 1 };
  if (verdict === "end") return { logLost: null, framesDropped: 0, next: end };
  if (verdict === "dropped") return { logLost: null, framesDropped: highest - last, next };
  const logLost = { first: last + 1, last: Math.max(highest, last + 1) };
  if (how.force) return { logLost, framesDropped: 0, next };
  throw new PenstockError({
    code: "log-damaged",
    message:
      `the log of pool ${label.name} is damaged: ` +
      (generation > label.generation
        ? `the newest label (generation ${generation}) is gone, ${label.generation} is left`
        : `frames ${logLost.first} to ${logLost.last} are not there`),
    details: { pool: label.name, ...logLost },
  });
}

/** What is new with this session. */
function sessionOf(parts: PoolParts, label: PoolLabel, replayed: Replayed) {
  const { environment, disks, session } = parts;
  const { logLost, recordsDropped } = replayed;
  const wasClean = label.state === LabelState.exported;
  const isUnsure = !wasClean && mayHaveLost(parts, label);
  const hasLost = isUnsure || logLost !== null || recordsDropped.length > 0;
  return {
    session,
    holder: cutText(environment.holder, HOLDER_BYTES_MAX),
    engineUuid: environment.engineUuid,
    losses: (label.losses + (hasLost ? 1 : 0)) >>> 0,
    disks: label.disks.map((disk, index) => ({
      ...disk,
      instanceId: disks.at(index).instanceId,
    })),
  };
}

/** As much of a text as fits, in whole characters. */
function cutText(text: string, bytesMax: number): string {
  let cut = text.replaceAll("\0", "");
  while (Buffer.byteLength(cut) > bytesMax) cut = cut.slice(0, -1);
  return cut.toWellFormed();
}

function tell({ environment }: PoolParts, { name }: PoolLabel, replayed: Replayed): void {
  const { logLost, recordsDropped, framesDropped } = replayed;
  if (logLost !== null) {
    environment.onEvent({
      level: "error",
      code: "pool-log-lost",
      message: `frames ${logLost.first} to ${logLost.last} of the log are lost: by force without`,
      pool: name,
      details: { ...logLost },
    });
  }
  if (framesDropped > 0 || recordsDropped.length > 0) {
    const records = recordsDropped.length;
    environment.onEvent({
      level: "warning",
      code: "pool-tail-dropped",
      message:
        `the power was lost: ${framesDropped} frames and ${records} writes that nobody had ` +
        "flushed are gone",
      pool: name,
      details: { framesDropped, records },
    });
  }
}
