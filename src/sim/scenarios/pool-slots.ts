/**
 * PoolSlots: the names that volumes of a simulated pool have, their clients and histories, and the
 * model of what lists say of them. Owned by `PoolStage`.
 */

import { Status } from "../../block/status.ts";
import type { CreateVolumeOptions } from "../../pool/pool-info.ts";
import { assert } from "../../util/assert.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { History, HistoryOp } from "../history.ts";
import { type ModelChange, PoolModel } from "../pool-model.ts";
import type { Run } from "../run.ts";
import { settingOf } from "../schedule.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";
import type { StagedPool } from "./pool-door.ts";
import type { PoolSlot, PoolVolume, VolumeText } from "./pool-volume.ts";

/** More than any volume has: stamps of different volumes are different. */
const STAMPS_PER_VOLUME = 16_384;
/** A volume that nobody uses. */
export const FILLER = "filler";

type Answered = (
  slot: PoolSlot,
  op: HistoryOp,
  status: Status,
  errorOffset: number,
) => string | null;

/** One of some sizes, in sectors; not only whole blocks. */
export function volumeSectors(sectors: number, number: number): number {
  const size = Math.floor((sectors * (1 + (number % 8))) / 8);
  return number % 3 > 0 ? Math.max(1, size - (number % 7)) : size;
}

export class PoolSlots {
  readonly all: readonly PoolSlot[];
  /** Full size of every volume. */
  readonly sectors: number;
  readonly model = new PoolModel<VolumeText>();
  readonly #run: Run;
  /** All that have ever been, by uuid. */
  readonly #volumes = new Map<string, PoolVolume>();

  constructor(run: Run, answered: Answered) {
    this.#run = run;
    const { schedule } = run;
    this.sectors = settingOf(schedule, "sectors");
    assert(this.sectors < STAMPS_PER_VOLUME, "stamps tell volumes apart");
    const count = settingOf(schedule, "volumes");
    const slots: PoolSlot[] = [];
    for (let index = 0; index < count; index++) {
      const first = this.#made(`v${index}`, this.sectors, true);
      const slot: PoolSlot = {
        name: `v${index}`,
        clients: [],
        volume: first,
        next: null,
        shrink: null,
        device: null,
        isBusy: false,
      };
      slots.push(slot);
    }
    this.all = slots;
    for (let index = 0; index < settingOf(schedule, "clients"); index++) {
      const slot = slots[index % count] as PoolSlot; // within the list
      const history = slot.volume?.history;
      assert(history !== undefined, "a slot begins with a volume");
      const name = `c${index}`;
      slot.clients.push(
        run.client({
          name,
          history,
          // What a faulted pool has in its log without having applied it comes with the import.
          isLate: (_op, status) => status === Status.mediaError,
          check: (op, status, errorOffset) => answered(slot, op, status, errorOffset),
        }),
      );
    }
  }

  at(index: number): PoolSlot {
    return this.all[index % this.all.length] as PoolSlot; // there is one at least
  }

  /** As `volumeSectors`. */
  sizeOf(number: number): number {
    return volumeSectors(this.sectors, number);
  }

  make(slot: PoolSlot, sizeSectors: number, isThin: boolean): PoolVolume {
    return this.#made(slot.name, sizeSectors, isThin);
  }

  creationOf(slot: PoolSlot, volume: PoolVolume): CreateVolumeOptions {
    const { uuid, isThin, sizeSectors } = volume;
    return { name: slot.name, uuid, isThin, sizeBytes: sizeSectors * SECTOR_BYTES };
  }

  beginCreation(slot: PoolSlot, { uuid, isThin, sizeSectors }: PoolVolume): ModelChange {
    const sizeBytes = sizeSectors * SECTOR_BYTES;
    return this.model.begin(slot.name, () => ({ uuid, isThin, sizeBytes, properties: {} }));
  }

  /** A thick volume that nobody uses and that leaves little to the others. */
  makeFiller(sizeBytes: number): CreateVolumeOptions {
    const uuid = uuidOfName(FILLER);
    const made: VolumeText = { uuid, isThin: false, sizeBytes, properties: {} };
    this.model.begin(FILLER, () => made).acknowledged();
    return { name: FILLER, uuid, isThin: false, sizeBytes };
  }

  eachHistory(change: (history: History) => void): void {
    // Where syncs lie a volume that was deleted may come back.
    const lies = this.#run.schedule.settings.lies === 1;
    const volumes = lies ? this.#volumes.values() : this.all.map(({ volume }) => volume);
    for (const volume of volumes) if (volume !== null) change(volume.history);
  }

  /** The pool is lost, and is made anew: of all that was nothing is left. */
  renew(): void {
    this.model.forget();
    for (const slot of this.all) {
      slot.volume = this.make(slot, this.sectors, true);
      slot.next = null;
      slot.shrink = null;
    }
  }

  /** It is there, in full size, and can be used. */
  isWhole({ volume, device, isBusy, clients }: PoolSlot): boolean {
    if (isBusy || volume === null || device === null) return false;
    const isAttached = clients.every((client) => client.device === device);
    return isAttached && volume.sizeSectors === this.sectors;
  }

  /** Its clients use it. */
  attach({ clients, volume, device }: PoolSlot): void {
    if (volume === null || device === null) return;
    for (const client of clients) {
      if (client.history !== volume.history) client.moveTo(volume.history);
      client.attach(device);
    }
  }

  /** Its clients end what they have begun, and the device is closed. */
  async detach(slot: PoolSlot): Promise<void> {
    for (const client of slot.clients) client.detach();
    await slot.device?.close();
    slot.device = null;
  }

  /** Their process is gone. */
  died(): void {
    for (const slot of this.all) {
      for (const client of slot.clients) client.died();
      slot.device = null;
      slot.isBusy = false;
    }
  }

  beginResize(slot: PoolSlot, volume: PoolVolume, sizeSectors: number): void {
    const { sizeSectors: before, history } = volume;
    volume.smallestSectors = Math.min(volume.smallestSectors, sizeSectors);
    if (sizeSectors >= before) return;
    const count = before - sizeSectors;
    slot.shrink = history.begin({
      client: "resize",
      kind: "zeroes",
      first: sizeSectors,
      count,
      fua: true,
      startMs: this.#run.world.nowMs,
    });
  }

  /** @param outcome failed: nobody can tell how far it came */
  endResize(slot: PoolSlot, sizeSectors: number, outcome: "ok" | "refused" | "failed"): void {
    const { volume, shrink } = slot;
    assert(volume !== null, "a volume is resized");
    if (shrink !== null) volume.history.end(shrink, { outcome });
    slot.shrink = null;
    volume.sizeSectors = sizeSectors;
  }

  /** Takes what an imported pool has. @returns what is wrong with it */
  see(pool: StagedPool): string[] {
    const seen = new Map<string, VolumeText>();
    for (const { name, uuid, sizeBytes, isThin, state } of pool.volumes()) {
      if (state === "deleting") continue;
      const properties = this.textsOf(pool.properties(name));
      seen.set(name, { uuid, sizeBytes, isThin, properties });
    }
    const problems = this.model.seen(seen);
    for (const slot of this.all) this.#take(slot, seen.get(slot.name));
    return problems;
  }

  textsOf(properties: ReadonlyMap<string, Uint8Array>): Record<string, string> {
    const texts: Record<string, string> = {};
    for (const [key, value] of properties) texts[key] = Buffer.from(value).toString("latin1");
    return texts;
  }

  bytesOf(
    changes: Readonly<Record<string, string | null>>,
  ): ReadonlyMap<string, Uint8Array | null> {
    const entries = Object.entries(changes).map(([key, text]) => {
      return [key, text === null ? null : Buffer.from(text, "latin1")] as const;
    });
    return new Map(entries);
  }

  #take(slot: PoolSlot, seen: VolumeText | undefined): void {
    const { volume, shrink } = slot;
    const sizeSectors = (seen?.sizeBytes ?? 0) / SECTOR_BYTES;
    if (volume !== null && shrink !== null) {
      const isDone = seen?.uuid === volume.uuid && sizeSectors === shrink.first;
      this.endResize(slot, sizeSectors, isDone ? "ok" : "failed");
    }
    slot.volume = this.#volumes.get(seen?.uuid ?? "") ?? null;
    slot.next = null;
    if (slot.volume === null) return;
    slot.volume.sizeSectors = sizeSectors;
    slot.volume.smallestSectors = Math.min(slot.volume.smallestSectors, sizeSectors);
  }

  #made(name: string, sizeSectors: number, isThin: boolean): PoolVolume {
    const number = this.#volumes.size;
    const { schedule } = this.#run;
    const volume: PoolVolume = {
      uuid: uuidOfName(`${schedule.seed} ${name} ${number}`),
      history: this.#run.history({
        // In full size, which it has at the end.
        sectorCount: this.sectors,
        stampBase: number * STAMPS_PER_VOLUME,
        flushLies: schedule.settings.lies === 1,
      }),
      isThin,
      sizeSectors,
      smallestSectors: sizeSectors,
    };
    this.#volumes.set(volume.uuid, volume);
    return volume;
  }
}
