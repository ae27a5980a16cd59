/**
 * PoolChanges: what all changes of a pool's objects have in common: whether they may be made, and
 * their way into the log.
 *
 * Control only, stateless. The caller (Pool) runs changes one after the other; what goes into the
 * log beside them (writes, cuts of deleted versions) does not matter to a record.
 */

import { Status, statusName } from "../block/status.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { VERSION_WORDS } from "./log/log-record.ts";
import { BLOCK_BYTES, poolSizes } from "./pool-layout.ts";
import { awaitFlush } from "./recovery/await-call.ts";
import type { PoolParts } from "./recovery/pool-parts.ts";
import { mayCommit, roomBlocks } from "./space/space-policy.ts";
import type { VolumeState } from "./volumes/catalogue.ts";
import {
  isSnapshotName,
  isVolumeName,
  isVolumeSize,
  OBJECT_ID_MAX,
  OBJECT_RECORD_WORDS,
  type ObjectRecord,
  SNAPSHOT_NAME_BYTES_MAX,
  VOLUME_NAME_BYTES_MAX,
  writeObjectRecord,
} from "./volumes/object-record.ts";
import { encodeProperties, type Properties } from "./volumes/properties-area.ts";
import { RecordCall, type RecordContent, type RecordHold } from "./volumes/record-call.ts";
import type { VersionChange } from "./volumes/version-plan.ts";

/** Of a properties record before its bytes. */
const PROPERTIES_HEADER_WORDS = 3;
/** Room is set aside for the pages of so many. */
export const VERSIONS_PER_RECORD_MAX = 4;

/** In a record of versions: it has its own content, and its own place. */
export function keepsAll(record: ObjectRecord): VersionChange {
  return { record, rootOf: 0, placeOf: record.id };
}

export class PoolChanges {
  readonly parts: PoolParts;

  constructor(parts: PoolParts) {
    this.parts = parts;
  }

  get poolName(): string {
    return this.parts.checkpointer.label.name;
  }

  /** A volume that is not being deleted. @throws PenstockError `volume-not-found` */
  volume(name: string): VolumeState {
    const state = this.parts.catalogue.byName(name);
    if (state?.kind === "volume") return state;
    throw this.#notFound("volume", name);
  }

  /** @throws PenstockError `snapshot-not-found` */
  snapshot(name: string): VolumeState {
    const state = this.parts.catalogue.byName(name);
    if (state?.kind === "snapshot") return state;
    throw this.#notFound("snapshot", name);
  }

  /** @throws PenstockError as `volume` and `snapshot`, by the name's form */
  either(name: string): VolumeState {
    return name.includes("@") ? this.snapshot(name) : this.volume(name);
  }

  checkVolumeName(name: string): void {
    if (isVolumeName(name)) return;
    throw new PenstockError({
      code: "name-invalid",
      message:
        `${name} is no name of a volume: letters, digits and . _ : + - inside, ` +
        `${VOLUME_NAME_BYTES_MAX} bytes at most`,
      details: { name },
    });
  }

  checkSnapshotName(name: string): void {
    if (isSnapshotName(name)) return;
    throw new PenstockError({
      code: "name-invalid",
      message:
        `${name} is no name of a snapshot: letters, digits and . _ : + - inside, ` +
        `${SNAPSHOT_NAME_BYTES_MAX} bytes behind the @ at most`,
      details: { name },
    });
  }

  /** @throws PenstockError `volume-exists`, `snapshot-exists`, `no-space` */
  checkNew(name: string, uuid: string): void {
    const { catalogue } = this.parts;
    const same = catalogue.byName(name) ?? catalogue.byUuid(uuid);
    if (same !== undefined) {
      const { kind } = same;
      throw new PenstockError({
        code: `${kind}-exists`,
        message: `pool ${this.poolName} has a ${kind} ${same.name} (${same.uuid}) already`,
        details: { name: same.name, uuid: same.uuid },
      });
    }
    if (catalogue.nextObjectId <= OBJECT_ID_MAX) return;
    throw new PenstockError({
      code: "no-space",
      message:
        `pool ${this.poolName} has had ${OBJECT_ID_MAX} volumes and snapshots: ` +
        "it can have no more",
    });
  }

  checkSize(sizeBytes: number): void {
    if (isVolumeSize(sizeBytes)) return;
    throw new PenstockError({
      code: "size-invalid",
      message: `${sizeBytes} bytes: a volume has a multiple of 512, from 512 bytes to 16 TiB`,
      details: { sizeBytes },
    });
  }

  /**
   * @param reserve blocks that a thick volume wants to be sure of
   * @throws PenstockError `over-commit`, `no-space`
   */
  checkSpace(moreBytes: number, reserve: number): void {
    const { checkpointer, catalogue } = this.parts;
    const { label } = checkpointer;
    const { capacityBytes } = poolSizes(label.disks.map(({ blocks }) => blocks));
    const committed = catalogue.committedBytes;
    const percent = label.overCommitPercent;
    if (!mayCommit({ committed, more: moreBytes, capacity: capacityBytes, percent })) {
      throw new PenstockError({
        code: "over-commit",
        message:
          `volumes of pool ${label.name} would have ${committed + moreBytes} bytes in all: ` +
          `at most ${percent} % of its ${capacityBytes} bytes are allowed`,
        details: { committed, moreBytes, capacityBytes, percent },
      });
    }
    if (reserve > 0) this.#checkReserve(reserve);
  }

  #checkReserve(reserve: number): void {
    const { checkpointer, space, catalogue } = this.parts;
    const { label } = checkpointer;
    const { keptBackBytes } = poolSizes(label.disks.map(({ blocks }) => blocks));
    const figures = {
      free: space.freeBlocks,
      taken: space.takenBlocks,
      waiting: space.waitingBlocks,
      reserved: catalogue.reservedBlocks,
      keptBack: keptBackBytes / BLOCK_BYTES,
      held: space.heldBlocks,
      pages: space.pageBlocks,
    };
    const left = figures.free - figures.taken - figures.reserved - roomBlocks(figures);
    if (reserve <= left) return;
    const [wantedBytes, leftBytes] = [reserve * BLOCK_BYTES, Math.max(left, 0) * BLOCK_BYTES];
    throw new PenstockError({
      code: "no-space",
      message: `pool ${label.name} cannot reserve ${wantedBytes} bytes: ${leftBytes} are free`,
      details: { wantedBytes, leftBytes },
    });
  }

  /** @throws PenstockError `pool-read-only`, `pool-faulted` */
  checkWritable(): void {
    const { isReadOnly, disks } = this.parts;
    if (isReadOnly) {
      const message = `pool ${this.poolName} is open for reading only`;
      throw new PenstockError({ code: "pool-read-only", message });
    }
    if (disks.fault !== Status.ok) throw this.failed(disks.fault);
  }

  /** @throws PenstockError `properties-too-large` */
  encode(properties: Properties): Uint8Array {
    const area = encodeProperties(properties);
    const { recordWordsMax } = this.parts.log;
    const bytesMax = (recordWordsMax - PROPERTIES_HEADER_WORDS) * 4;
    if (area.length <= bytesMax) return area;
    throw new PenstockError({
      code: "properties-too-large",
      message: `all properties have ${area.length} bytes, a frame of this log ${bytesMax}`,
    });
  }

  /** Of a volume; its place among versions stays. */
  async logObject(record: ObjectRecord, isDurable: boolean, hold?: RecordHold): Promise<void> {
    const words = new Uint32Array(OBJECT_RECORD_WORDS);
    writeObjectRecord(record, words, 0);
    const content: RecordContent = {
      ...(hold === undefined ? {} : { hold }),
      log: (log, entry) => log.object(entry, words, 0),
      apply: (sink) => sink.object(words, 0),
    };
    await this.#log(content, isDurable);
  }

  /** All at once. @param advancesEpoch they were taken in the epoch that ends here */
  async logVersions(
    changes: readonly VersionChange[],
    how: {
      readonly advancesEpoch: boolean;
      readonly isDurable: boolean;
      readonly hold?: RecordHold;
    },
  ): Promise<void> {
    const count = changes.length;
    assert(count > 0 && count <= VERSIONS_PER_RECORD_MAX, "there is room for their pages");
    const words = new Uint32Array(count * VERSION_WORDS);
    for (const [index, { record, rootOf, placeOf }] of changes.entries()) {
      const at = index * VERSION_WORDS;
      writeObjectRecord(record, words, at);
      words[at + OBJECT_RECORD_WORDS] = rootOf;
      words[at + OBJECT_RECORD_WORDS + 1] = placeOf;
    }
    const content: RecordContent = {
      ...(how.hold === undefined ? {} : { hold: how.hold }),
      log: (log, entry) => log.versions(entry, words, count, how.advancesEpoch),
      apply: (sink) => sink.versions(words, 0, count, how.advancesEpoch),
    };
    await this.#log(content, how.isDurable);
  }

  async logProperties(id: number, area: Uint8Array): Promise<void> {
    const content: RecordContent = {
      log: (log, entry) => log.properties(entry, id, area),
      apply: (sink) => sink.properties(id, area),
    };
    await this.#log(content, true);
  }

  /** What is logged by now is durable when it settles. @throws PenstockError `pool-faulted` */
  async flush(): Promise<void> {
    const { environment, log } = this.parts;
    const status = await awaitFlush(environment.reactor, log);
    if (status !== Status.ok) throw this.failed(status);
  }

  failed(status: Status): PenstockError {
    const { disks } = this.parts;
    const reason = disks.faultReason || statusName(status);
    return new PenstockError({
      code: disks.fault === Status.ok ? statusName(status) : "pool-faulted",
      message: `pool ${this.poolName} cannot be changed: ${reason}`,
      details: { pool: this.poolName },
    });
  }

  async #log(content: RecordContent, isDurable: boolean): Promise<void> {
    const status = await new RecordCall(this.parts, content, isDurable).run();
    if (status !== Status.ok) throw this.failed(status);
  }

  #notFound(kind: "volume" | "snapshot", name: string): PenstockError {
    return new PenstockError({
      code: `${kind}-not-found`,
      message: `pool ${this.poolName} has no ${kind} ${name}`,
      details: { pool: this.poolName, name },
    });
  }
}

export function inUse({ kind, name }: VolumeState): PenstockError {
  return new PenstockError({
    code: "volume-in-use",
    message: `${kind} ${name} is open: close what uses it first`,
    details: { name },
  });
}
