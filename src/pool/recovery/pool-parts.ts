/**
 * PoolParts: what an open pool consists of, and how it is put together. Used by Pool and by
 * inspect, which only reads.
 *
 *   disks <- cache <- space <- reuse <- log <- catalogue, applier <- checkpointer
 */

import type { Device } from "../../block/device.ts";
import { Status, statusName } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import type { PoolLabel } from "../disks/label-format.ts";
import { PoolDisks, type PoolFault } from "../disks/pool-disks.ts";
import { PoolLog } from "../log/pool-log.ts";
import { PageCache, type PoolPressure } from "../pages/page-cache.ts";
import { type PageDamage, PageKind } from "../pages/page-format.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import { CACHE_BYTES_LEAST, CACHE_BYTES_MAX, type PoolOptions } from "../pool-info.ts";
import { BLOCK_BYTES, type FlushWaiter, poolSizes } from "../pool-layout.ts";
import type { ChunkTable } from "../space/chunk-table.ts";
import { ReusePipeline } from "../space/reuse-pipeline.ts";
import { SpaceMap } from "../space/space-map.ts";
import { type BlockChecksum, blockChecksum, CHECKSUM_KINDS } from "../volumes/block-checksum.ts";
import { Catalogue } from "../volumes/catalogue.ts";
import { RecordApplier } from "../volumes/record-applier.ts";
import { VersionCut } from "../volumes/version-cut.ts";
import { Checkpointer } from "./checkpointer.ts";
import { heldRuns } from "./disk-layout.ts";

export interface PoolParts {
  readonly environment: PoolEnvironment;
  readonly disks: PoolDisks;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  readonly reuse: ReusePipeline;
  readonly log: PoolLog;
  readonly applier: RecordApplier;
  readonly catalogue: Catalogue;
  readonly checkpointer: Checkpointer;
  readonly checksum: BlockChecksum;
  /** Of this session: 16 hex digits. */
  readonly session: string;
  readonly isReadOnly: boolean;
  /** Its checkpoints have yet to write a map of a disk that was made anew. */
  readonly isMapRebuilt: boolean;
  /** Disks of whose map a page was found lost. */
  readonly lostMaps: ReadonlySet<number>;
  /** Called in the turn, once, when the pool has a fault. */
  readonly faultListeners: ((fault: PoolFault) => void)[];
}

const CACHE_BYTES_DEFAULT = 64 * 1024 * 1024;
/** Numbers of generations that an import leaves out: it takes 1 + 2 x (1 + so many at random). */
const SKIP_RANGE = 2 ** 16;

/** @throws PenstockError `cache-size-invalid` */
export function checkCacheBytes(cacheBytes: number | undefined): void {
  if (cacheBytes === undefined) return;
  const isWhole = Number.isSafeInteger(cacheBytes);
  if (isWhole && cacheBytes >= CACHE_BYTES_LEAST && cacheBytes <= CACHE_BYTES_MAX) return;
  throw new PenstockError({
    code: "cache-size-invalid",
    message: `found a page cache of ${cacheBytes} bytes, expected 64 KiB to 16 GiB`,
    details: { cacheBytes },
  });
}

/**
 * @param devices in the order of the label's disk table; they belong to the parts from now on
 * @param table of what is in use on disks of which the label has no map
 */
export function assembleParts(
  label: PoolLabel,
  devices: readonly Device[],
  environment: PoolEnvironment,
  options: PoolOptions,
  table?: ChunkTable,
): PoolParts {
  assert(devices.length === label.disks.length, "a pool has all its disks");
  const { reactor } = environment;
  const lostMaps = new Set<number>();
  const session = environment.makeUuid().replaceAll("-", "").slice(0, 16);
  const disks = new PoolDisks(
    label.disks.map(({ uuid, blocks }, index) => {
      const device = devices[index];
      assert(device !== undefined, "a disk of the table has its device");
      return { uuid, device, blocks };
    }),
  );
  const cache = new PageCache({
    reactor,
    limitBytes: Math.ceil((options.cacheBytes ?? CACHE_BYTES_DEFAULT) / BLOCK_BYTES) * BLOCK_BYTES,
    disks,
    poolUuid: label.poolUuid,
    generation: firstGeneration(label, session),
    onDamage: (found) => {
      if (found.isLost && found.kind === PageKind.space) lostMaps.add(found.tree);
      tellDamage(environment, label.name, found);
    },
  });
  cache.epoch = label.epoch;
  const space = makeSpace(label, cache, table);
  const reuse = new ReusePipeline({ space, disks });
  const { logAddress, logBlocks, logUnitBytes } = label;
  const log = new PoolLog({
    reactor,
    disks,
    reuse,
    poolUuid: label.poolUuid,
    ring: { address: logAddress, blocks: logBlocks, unitBytes: logUnitBytes },
  });
  const kind = CHECKSUM_KINDS[label.checksumKind];
  assert(kind !== undefined, "a label's checksum kind was looked at when it was read");
  const catalogue = new Catalogue({
    reactor,
    cache,
    objectsRoot: { ...label.objectsRoot },
    propertiesRoot: { ...label.propertiesRoot },
    nextObjectId: label.nextObjectId,
  });
  const applier = new RecordApplier({ catalogue, cache, space, checksum: kind });
  applier.cutter = new VersionCut({ cache, space });
  const made = { environment, disks, cache, space, log, applier, catalogue };
  const checkpointer = new Checkpointer({ ...made, label });
  const parts: PoolParts = {
    ...made,
    reuse,
    checkpointer,
    checksum: blockChecksum(kind),
    session,
    isReadOnly: options.readOnly === true,
    isMapRebuilt: table !== undefined,
    lostMaps,
    faultListeners: [],
  };
  disks.onFault = (fault) => tellFault(parts, fault);
  return parts;
}

/** From now on what runs short asks for a flush or a checkpoint: when an import is over. */
export function connectPressure({ cache, space, log, checkpointer }: PoolParts): void {
  const waiter: FlushWaiter = {
    nextFlush: null,
    flushEnded: () => {
      isAsked = false;
      if (!isWantedAgain) return;
      isWantedAgain = false;
      pressure.flushWanted();
    },
  };
  let isAsked = false;
  // What was freed after a flush began needs the next one; who waits for it asks once only.
  let isWantedAgain = false;
  const pressure: PoolPressure = {
    flushWanted() {
      if (isAsked) {
        isWantedAgain = true;
        return;
      }
      isAsked = true;
      log.flush(waiter);
    },
    checkpointWanted: () => checkpointer.request("pages or space run short"),
  };
  checkpointer.isPatient = true;
  cache.pressure = pressure;
  space.pressure = pressure;
  log.onCheckpointWanted = (reason) => checkpointer.request(reason);
}

/** Generations between the label's and this one may be on pages that nobody refers to. */
function firstGeneration({ generation }: PoolLabel, session: string): number {
  const skip = Number.parseInt(session.slice(0, 4), 16) % SKIP_RANGE;
  return generation + 1 + 2 * (1 + skip);
}

function makeSpace(label: PoolLabel, cache: PageCache, table?: ChunkTable): SpaceMap {
  const { keptBackBytes } = poolSizes(label.disks.map(({ blocks }) => blocks));
  // No checkpoint has been made yet: nothing is marked in use.
  const isNew = label.heldBlocks === 0;
  const space = new SpaceMap({
    cache,
    ...(table === undefined ? {} : { knownChunks: table }),
    chunkBlocks: label.chunkBlocks,
    disks: isNew
      ? []
      : label.disks.map(({ blocks, freeBlocks, spaceRoot }) => ({
          blocks,
          freeBlocks,
          root: { ...spaceRoot },
        })),
    dataBlocks: label.dataBlocks,
    pageBlocks: label.pageBlocks,
    heldBlocks: label.heldBlocks,
    keptBackBlocks: Math.ceil(keptBackBytes / BLOCK_BYTES),
    isReplay: true,
  });
  if (isNew) {
    for (const [index, { blocks }] of label.disks.entries()) {
      space.addDisk(index, blocks, heldRuns(label, index));
    }
  }
  return space;
}

function tellFault(parts: PoolParts, fault: PoolFault): void {
  const { environment, checkpointer, log, disks } = parts;
  const pool = checkpointer.label.name;
  const code = fault.isSync ? "pool-flush-failed" : "pool-faulted";
  const details = { status: statusName(fault.status) };
  environment.onEvent({ level: "error", code, message: fault.reason, pool, details });
  checkpointer.faulted(fault);
  // In a turn of its own: who raised it is in the middle of something.
  environment.reactor.deliverLater(() => {
    assert(disks.fault !== Status.ok, "a fault stays");
    log.faulted();
    for (const listener of parts.faultListeners) listener(fault);
  });
}

function tellDamage(environment: PoolEnvironment, pool: string, found: PageDamage): void {
  const { isLost, address, kind, tree, problem } = found;
  environment.onEvent({
    level: isLost ? "error" : "warning",
    code: isLost ? "pool-damage-found" : "pool-copy-repaired",
    message: isLost
      ? `both copies of a page of tree ${tree} are damaged (${problem})`
      : `one copy of a page of tree ${tree} was damaged (${problem}) and is written anew`,
    pool,
    details: { address, kind, tree, problem },
  });
}
