/**
 * Scrub: reads everything that a pool holds and looks whether it is right: all labels, both copies
 * of all pages, and the blocks of all volumes and snapshots, each once, in the order in which
 * clients see them. If asked to, it discards all free space before.
 *
 *   running <--pause, resume--> paused
 *      +--all read--> finished   +--its disks fail--> failed   +--stop--> paused, done
 *
 * The pool goes on meanwhile. How far it has come is kept in a property of the pool, so that the
 * next one goes on there, in another process, too; pages are looked at again then. One batch of
 * reads is in flight. What is damaged is told as an event, and healed where somebody has good data.
 */

import { assert } from "../../util/assert.ts";
import type { PoolEventCode } from "../pool-environment.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { SpaceTrim } from "../space/space-trim.ts";
import type { DataWriter } from "../volumes/data-writer.ts";
import type { VolumeState } from "../volumes/volume-state.ts";
import { Heal, type HealSource } from "./heal.ts";
import { ScrubCopies } from "./scrub-copies.ts";
import {
  decodePosition,
  encodePosition,
  SCRUB_START,
  type ScrubPosition,
} from "./scrub-position.ts";
import { isThere, type MappedBlock, ScrubVolume } from "./scrub-volume.ts";

export interface ScrubOptions {
  /** Default: as fast as the disks. */
  readonly bytesPerSecond?: number;
  /** Where good data for damaged blocks may come from. */
  readonly heal?: HealSource;
  /** From the beginning; default: goes on where the last one was. */
  readonly restart?: boolean;
  /** Discards all free space first. */
  readonly trim?: boolean;
}

export interface DamagedBlock {
  /** Its name. */
  readonly volume: string;
  readonly offset: number;
  readonly healed: boolean;
}

export interface ScrubProgress {
  readonly state: "running" | "paused" | "finished" | "failed";
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** The first 1,000 of this run. */
  readonly damaged: readonly DamagedBlock[];
  readonly damagedCount: number;
  readonly healedCount: number;
  /** Copies of pages and labels that were bad beside a good one; they are written anew. */
  readonly badCopies: number;
  /** Free space that this run has discarded. */
  readonly trimmedBytes: number;
}

export interface Scrub {
  readonly progress: ScrubProgress;
  /** Settles when nothing of it is in flight and its position is kept. */
  pause(): Promise<void>;
  resume(): void;
  /** As `pause`, for good: the pool closes. `done` settles, too. */
  stop(): Promise<void>;
  /** Finished, failed, or stopped. */
  readonly done: Promise<ScrubProgress>;
}

/** Where a scrub keeps how far it has come. */
export interface ScrubStore {
  load(): Uint8Array | undefined;
  /** null: nothing to go on from. */
  save(position: Uint8Array | null): Promise<void>;
}

export interface ScrubStart {
  readonly parts: PoolParts;
  /** null: nothing can be healed. */
  readonly writer: DataWriter | null;
  readonly store: ScrubStore;
}

const DAMAGED_MAX = 1000;
/** Volumes in which a block of a snapshot is healed. */
const SHARERS_MAX = 64;
const SAVE_INTERVAL_MS = 10_000;

export function startScrub(start: ScrubStart, options: ScrubOptions): Scrub {
  return new PoolScrub(start, options);
}

/** Where the next one would go on; null: at the beginning. */
export function keptScrub(
  { space }: PoolParts,
  kept: Uint8Array | undefined,
): ScrubProgress | null {
  const position = decodePosition(kept);
  if (position === null) return null;
  const { doneBytes, damagedCount, healedCount, badCopies } = position;
  const all = (space.dataBlocks + space.pageBlocks) * BLOCK_BYTES;
  const counts = { doneBytes, damagedCount, healedCount, badCopies, trimmedBytes: 0 };
  return { state: "paused", ...counts, totalBytes: Math.max(all, doneBytes), damaged: [] };
}

class PoolScrub implements Scrub {
  readonly done: Promise<ScrubProgress>;
  readonly #parts: PoolParts;
  readonly #store: ScrubStore;
  readonly #bytesPerSecond: number;
  readonly #isTrim: boolean;
  readonly #copies: ScrubCopies;
  readonly #volumes: ScrubVolume;
  readonly #heal: Heal | null;
  readonly #damaged: DamagedBlock[] = [];
  #state: ScrubProgress["state"] = "running";
  #position: ScrubPosition;
  #trimmedBytes = 0;
  #isPausing = false;
  #isStopped = false;
  /** Those who wait for the pause. */
  #pausers: (() => void)[] = [];
  #resumed: (() => void) | null = null;
  #savedMs: number;
  /** When it may read on. */
  #readOnMs: number;

  constructor({ parts, writer, store }: ScrubStart, options: ScrubOptions) {
    const { bytesPerSecond = Number.POSITIVE_INFINITY, heal, trim = false } = options;
    assert(bytesPerSecond > 0, "a scrub gets on");
    this.#parts = parts;
    this.#store = store;
    this.#bytesPerSecond = bytesPerSecond;
    this.#isTrim = trim && !parts.isReadOnly;
    this.#savedMs = this.#now();
    this.#readOnMs = this.#savedMs;
    const kept = options.restart === true ? null : decodePosition(store.load());
    this.#position = kept ?? SCRUB_START;
    const owner = {
      badCopy: (message: string, isRepaired: boolean) => this.#badCopy(message, isRepaired),
      mayGoOn: (bytes: number) => this.#mayGoOn(bytes),
    };
    this.#copies = new ScrubCopies(parts, owner);
    this.#volumes = new ScrubVolume(parts);
    const canHeal = heal !== undefined && writer !== null;
    this.#heal = canHeal ? new Heal(parts, writer, heal, this.#volumes) : null;
    this.done = this.#run();
  }

  get progress(): ScrubProgress {
    const { space } = this.#parts;
    const { doneBytes, damagedCount, healedCount, badCopies } = this.#position;
    const all = (space.dataBlocks + space.pageBlocks) * BLOCK_BYTES;
    // Both change while it runs.
    const totalBytes = this.#state === "finished" ? doneBytes : Math.max(all, doneBytes);
    const damaged = [...this.#damaged];
    const counts = { doneBytes, totalBytes, damagedCount, healedCount, badCopies };
    return { state: this.#state, ...counts, damaged, trimmedBytes: this.#trimmedBytes };
  }

  async pause(): Promise<void> {
    if (this.#state !== "running") return;
    this.#isPausing = true;
    await new Promise<void>((resolve) => {
      this.#pausers.push(resolve);
    });
  }

  resume(): void {
    this.#isPausing = false;
    if (this.#state !== "paused" || this.#isStopped) return;
    this.#state = "running";
    this.#resumed?.();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#isPausing = true;
    this.#resumed?.();
    await this.done;
  }

  async #run(): Promise<ScrubProgress> {
    try {
      const isThrough = await this.#readAll();
      if (isThrough) await this.#finish();
      else this.#state = "paused";
    } catch (error) {
      this.#state = "failed";
      this.#tell("error", "pool-damage-found", `the scrub ended early: ${String(error)}`);
    } finally {
      this.#copies.close();
      this.#volumes.close();
      this.#heal?.close();
      this.#tellPausers();
    }
    return this.progress;
  }

  /** False: stopped. */
  async #readAll(): Promise<boolean> {
    const { catalogue, space, disks } = this.#parts;
    // The constructor ends before anything of it runs.
    if (!(await this.#mayGoOn(0))) return false;
    if (this.#isTrim && !(await this.#trim())) return false;
    await this.#copies.labels();
    if (!(await this.#copies.tree(catalogue.objects, "objects"))) return false;
    if (!(await this.#copies.tree(catalogue.propertyTree, "properties"))) return false;
    for (let disk = 0; disk < disks.count; disk++) {
      const name = `the map of disk ${disk}`;
      if (!(await this.#copies.tree(space.treeOf(disk), name))) return false;
    }
    for (let volume = this.#volume(); volume !== null; volume = this.#volume()) {
      if (!(await this.#readVolume(volume))) return false;
    }
    return true;
  }

  /** Not at the rate of reads: a discard moves no data. False: stopped. */
  #trim(): Promise<boolean> {
    const { space, disks, environment } = this.#parts;
    const mayGoOn = (bytes: number): Promise<boolean> => {
      this.#trimmedBytes += bytes;
      return this.#mayGoOn(0);
    };
    return new SpaceTrim({ space, disks, reactor: environment.reactor, mayGoOn }).run();
  }

  /** The one that the position is in, or the next one. */
  #volume(): VolumeState | null {
    const { objectId, nextBlock } = this.#position;
    const first = nextBlock > 0 ? objectId : objectId + 1;
    let found: VolumeState | null = null;
    for (const volume of this.#parts.catalogue.all()) {
      if (!isThere(volume) || volume.id < first) continue;
      if (found === null || volume.id < found.id) found = volume;
    }
    return found;
  }

  /** False: stopped. */
  async #readVolume(volume: VolumeState): Promise<boolean> {
    const { objectId, nextBlock } = this.#position;
    const { kind, isDeleting } = volume;
    const name = `${kind} ${volume.name}`;
    const isFixed = kind === "snapshot" || isDeleting;
    const how = { isThere: () => isThere(volume), isFixed };
    if (!(await this.#copies.tree(volume.tree, name, how))) return false;
    let block: number | null = objectId === volume.id ? nextBlock : 0;
    while (block !== null && isThere(volume)) {
      const batch = await this.#volumes.batch(volume, block);
      if (batch.hasLostPage) {
        const message = `${name}: a page is lost, with what it said of blocks from ${block} on`;
        this.#tell("error", "pool-damage-found", message, volume);
      }
      for (const damaged of batch.damaged) await this.#found(volume, damaged);
      block = batch.next;
      this.#position = { ...this.#position, objectId: volume.id, nextBlock: block ?? 0 };
      if (!(await this.#mayGoOn(batch.readBlocks * BLOCK_BYTES))) return false;
    }
    this.#position = { ...this.#position, objectId: volume.id, nextBlock: 0 };
    return true;
  }

  /** In `version`, and in the volumes that have the block from it. */
  async #found(version: VolumeState, block: MappedBlock): Promise<void> {
    if (version.kind === "volume") await this.#healIn(version, block);
    else this.#damagedIn(version, block, false);
    for (const volume of await this.#sharersOf(version, block)) await this.#healIn(volume, block);
  }

  async #healIn(volume: VolumeState, block: MappedBlock): Promise<void> {
    const healed = this.#heal !== null && (await this.#heal.heal(volume, block));
    this.#damagedIn(volume, block, healed);
  }

  /** Volumes below `version` that have the very block still; not more than some. */
  async #sharersOf(version: VolumeState, { key, address }: MappedBlock): Promise<VolumeState[]> {
    const found: VolumeState[] = [];
    const below = [...version.children];
    for (let child = below.pop(); child !== undefined; child = below.pop()) {
      const now = await this.#volumes.lookUp(child, key);
      if (now?.address !== address) continue;
      if (child.kind === "volume" && !child.isDeleting) found.push(child);
      below.push(...child.children);
      if (found.length === SHARERS_MAX) break;
    }
    return found;
  }

  #damagedIn(volume: VolumeState, block: MappedBlock, healed: boolean): void {
    const offset = block.key * BLOCK_BYTES;
    const { damagedCount, healedCount } = this.#position;
    this.#position = {
      ...this.#position,
      damagedCount: damagedCount + 1,
      healedCount: healedCount + (healed ? 1 : 0),
    };
    if (this.#damaged.length < DAMAGED_MAX) {
      this.#damaged.push({ volume: volume.name, offset, healed });
    }
    const how = healed ? "it was damaged, and is healed" : "it is damaged, reads of it fail";
    const message = `${volume.name}: the block at ${offset}: ${how}`;
    this.#tell(healed ? "warning" : "error", "pool-damage-found", message, volume);
  }

  /** After so many bytes: keeps the position, waits for its rate or for the end of a pause. */
  async #mayGoOn(bytes: number): Promise<boolean> {
    const { doneBytes } = this.#position;
    this.#position = { ...this.#position, doneBytes: doneBytes + bytes };
    await this.#rest(bytes);
    if (this.#isPausing) return await this.#stayPaused();
    if (this.#now() - this.#savedMs >= SAVE_INTERVAL_MS) await this.#save();
    return !this.#isStopped;
  }

  async #rest(bytes: number): Promise<void> {
    const nowMs = this.#now();
    const beganMs = Math.max(this.#readOnMs, nowMs - 1000);
    this.#readOnMs = beganMs + (bytes / this.#bytesPerSecond) * 1000;
    const { reactor } = this.#parts.environment;
    // In slices, so that a pause does not wait for a slow rate.
    while (this.#readOnMs > this.#now() && !this.#isPausing) {
      const delayMs = Math.min(this.#readOnMs - this.#now(), 100);
      await new Promise<void>((resolve) => {
        reactor.clock.startTimer(delayMs, () => reactor.deliverLater(resolve));
      });
    }
  }

  /** False: stopped. */
  async #stayPaused(): Promise<boolean> {
    await this.#save();
    if (this.#isStopped) return false;
    if (!this.#isPausing) return true;
    this.#state = "paused";
    this.#tellPausers();
    await new Promise<void>((resolve) => {
      this.#resumed = resolve;
    });
    this.#resumed = null;
    return !this.#isStopped;
  }

  async #save(): Promise<void> {
    this.#savedMs = this.#now();
    if (this.#parts.isReadOnly) return;
    await this.#store.save(encodePosition(this.#position));
  }

  async #finish(): Promise<void> {
    const { damagedCount, healedCount, badCopies, doneBytes } = this.#position;
    if (!this.#parts.isReadOnly) await this.#store.save(null);
    this.#state = "finished";
    const message =
      `scrub finished: ${doneBytes} bytes, ${damagedCount} damaged blocks ` +
      `(${healedCount} healed), ${badCopies} bad copies of pages and labels`;
    this.#tell(damagedCount > healedCount ? "warning" : "info", "scrub-finished", message);
  }

  #badCopy(message: string, isRepaired: boolean): void {
    this.#position = { ...this.#position, badCopies: this.#position.badCopies + 1 };
    if (isRepaired) this.#tell("warning", "pool-copy-repaired", `${message}; it is written anew`);
    else this.#tell("warning", "pool-damage-found", `${message}; the other copy is read`);
  }

  #tellPausers(): void {
    const pausers = this.#pausers;
    this.#pausers = [];
    for (const resolve of pausers) resolve();
  }

  #tell(
    level: "info" | "warning" | "error",
    code: PoolEventCode,
    message: string,
    volume?: VolumeState,
  ): void {
    const { environment, checkpointer } = this.#parts;
    const pool = checkpointer.label.name;
    const of = volume === undefined ? {} : { volume: volume.name };
    environment.onEvent({ level, code, message, pool, ...of });
  }

  #now(): number {
    return this.#parts.environment.reactor.clock.nowMs();
  }
}
