/**
 * PoolProgram: a random program on a pool of CrashDisks: clients of several volumes at once, and a
 * pool that is exported, killed and loses power at any moment. What it holds afterwards is compared
 * with what history allows, and its trees with its maps.
 *
 * One volume per name; no two operations on the same sectors run at once. All follows from a seed.
 */

import { DeviceError } from "../block/device-error.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { walkPool } from "../pool/check/pool-walk.ts";
import { Pool } from "../pool/pool.ts";
import type { CreatePoolOptions } from "../pool/pool-info.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { Prng } from "../util/prng.ts";
import { PenstockError } from "../util/errors.ts";
import { uuidOfName } from "../util/uuid.ts";
import { CrashDisk, type DiskImage } from "./crash-disk.ts";
import { poolEnvironment, type TestPoolEnvironment } from "./pool-rig.ts";
import { type Loss, SectorHistory } from "./sector-history.ts";

export interface ProgramOptions {
  readonly diskBytes: readonly number[];
  readonly cacheBytes: number;
  readonly chunkBytes: number;
  readonly checksum?: CreatePoolOptions["checksum"];
  /** Of each volume that is made. */
  readonly volumeSectorsMax: number;
  readonly isThin: boolean;
  /** Volumes are written wholly when they are made, as far as there is space. */
  readonly isFilled?: boolean;
  /** Of a request. */
  readonly sectorsMax: number;
  /** Share of requests that end in the next turn. */
  readonly quick: number;
  /** Operations between two ends of the pool. */
  readonly operations: number;
  readonly clients: number;
  /** Meanwhile scrubs discard all free space, one after the other. */
  readonly trims?: boolean;
}

interface Volume {
  readonly name: string;
  readonly number: number;
  readonly history: SectorHistory;
  device: PromiseDevice | null;
  /** Sectors of operations under way: [first, end). */
  readonly busy: Set<readonly [number, number]>;
  /** Its making or its deletion was not answered. */
  isUnsure: boolean;
}

const SECTOR_BYTES = 512;
const VOLUMES_MAX = 4;
const FILL_SECTORS = 2048;

export class PoolProgram {
  readonly #reactor: Reactor;
  readonly #random: Prng;
  readonly #options: ProgramOptions;
  readonly #volumes = new Map<string, Volume>();
  readonly trace: string[] = [];
  #environment: TestPoolEnvironment;
  #disks: CrashDisk[] = [];
  #pool: Pool | null = null;
  #instance = 0;
  #value = 0;
  #made = 0;
  #step = 0;
  /** The pool is gone: what is under way ends without an answer. */
  #isOver = false;
  #loss: Loss = "none";
  noSpaces = 0;

  constructor(reactor: Reactor, random: Prng, options: ProgramOptions) {
    this.#reactor = reactor;
    this.#random = random;
    this.#options = options;
    this.#environment = poolEnvironment(reactor, `${random.float()}`);
  }

  /** The one that is open now, for a look at a failure. */
  get pool(): Pool | null {
    return this.#pool;
  }

  async create(): Promise<void> {
    const { diskBytes, chunkBytes, checksum, cacheBytes } = this.#options;
    this.#openDisks(diskBytes.map(() => new Map()));
    const kind = checksum === undefined ? {} : { checksum };
    const options = { name: "pool", chunkBytes, cacheBytes, ...kind };
    this.#pool = await Pool.create(this.#environment, this.#disks, options);
  }

  /** Some operations, then an end of the pool, an import, and a look at everything. */
  async round(): Promise<void> {
    this.#isOver = false;
    const { operations, clients } = this.#options;
    const perClient = Math.ceil(operations / clients);
    const clientsEnded = Promise.all(
      Array.from({ length: clients }, () => this.#client(perClient)),
    );
    const running = [clientsEnded, this.#trim(clientsEnded)];
    const end = this.#random.below(4);
    if (end === 0) {
      await Promise.all(running);
      await this.#look("none");
      await this.#check();
      await this.#export();
    } else {
      // In the middle of it, most times.
      const all = Promise.all(running);
      const untilMs = this.#random.float() * operations * 0.3;
      await Promise.race([all, this.#sleep(untilMs)]);
      this.#die(end === 1 ? "power" : "kill");
      await Promise.race([all, this.#sleep(5)]);
    }
    await this.#import();
  }

  async close(): Promise<void> {
    await this.#closeVolumes();
    await this.#pool?.close();
  }

  #die(loss: "power" | "kill"): void {
    this.#say(`${loss}`);
    this.#isOver = true;
    this.#pool = null;
    if (loss === "power" || this.#loss === "none") this.#loss = loss;
    const images = this.#disks.map((disk) =>
      loss === "kill" ? disk.kill(this.#random) : disk.losePower(this.#random),
    );
    if (loss === "power") this.#instance++;
    this.#openDisks(images);
  }

  /** Now and then it dies while it imports. */
  async #import(): Promise<void> {
    for (const volume of this.#volumes.values()) {
      volume.device = null;
      volume.busy.clear();
    }
    while (this.#loss !== "none" && this.#random.chance(0.3)) {
      const importing = Pool.import(this.#environment, this.#disks, this.#poolOptions);
      const ended = importing.then(
        () => null,
        (error: unknown) => error,
      );
      const outcome = await Promise.race([ended, this.#sleep(this.#random.float() * 20)]);
      if (outcome instanceof Error) throw outcome;
      this.#die(this.#random.chance(0.5) ? "power" : "kill");
    }
    this.#say(`import after ${this.#loss}`);
    this.#pool = await Pool.import(this.#environment, this.#disks, this.#poolOptions);
    await this.#check();
    await this.#look(this.#loss);
    this.#loss = "none";
    this.#isOver = false;
  }

  async #export(): Promise<void> {
    await this.#closeVolumes();
    this.#say("export");
    await this.#pool?.export();
    const images = this.#disks.map((disk) => disk.image());
    if (this.#random.chance(0.5)) this.#instance++;
    this.#openDisks(images);
  }

  get #poolOptions(): { cacheBytes: number } {
    return { cacheBytes: this.#options.cacheBytes };
  }

  #openDisks(images: readonly DiskImage[]): void {
    const { diskBytes, quick } = this.#options;
    const random = this.#random.fork("disks");
    this.#disks = images.map(
      (image, index) =>
        new CrashDisk(this.#reactor, {
          name: `disk${index}`,
          sizeBytes: diskBytes[index] ?? 0,
          instanceId: uuidOfName(`${index} ${this.#instance}`),
          image,
          delayMs: () => (random.chance(quick) ? 0 : random.float() * 2),
        }),
    );
  }

  async #client(operations: number): Promise<void> {
    for (let index = 0; index < operations && !this.#isOver; index++) {
      try {
        await this.#operate();
      } catch (error) {
        if (this.#isOver) return;
        const isNoSpace = error instanceof PenstockError && error.code === "no-space";
        const isWrite = isNoSpace && error instanceof DeviceError;
        if (!isNoSpace || (isWrite && !this.#options.isThin)) throw error;
        this.noSpaces++;
      }
    }
  }

  async #trim(until: Promise<unknown>): Promise<void> {
    const pool = this.#pool;
    if (pool === null || this.#options.trims !== true) return;
    let isEnded = false;
    const end = (): void => {
      isEnded = true;
    };
    until.then(end, end);
    while (!isEnded && !this.#isOver) {
      const { state, trimmedBytes } = await pool.scrub({ trim: true, restart: true }).done;
      this.#say(`a trim of ${trimmedBytes} bytes: ${state}`);
      await this.#sleep(this.#random.float() * 20);
    }
  }

  async #operate(): Promise<void> {
    const dice = this.#random.float();
    if (dice < 0.02 || this.#volumes.size === 0) return await this.#make();
    const volume = [...this.#volumes.values()][this.#random.below(this.#volumes.size)];
    if (volume === undefined || volume.device === null) return;
    if (dice < 0.03) return await this.#delete(volume);
    if (dice < 0.04) return await this.#pool?.parts.checkpointer.run("in use");
    if (dice < 0.1) return await this.#flush(volume);
    const range = this.#freeRange(volume);
    if (range === null) return;
    volume.busy.add(range);
    try {
      if (dice < 0.3) await this.#compare(volume, range);
      else if (dice < 0.4) await this.#change(volume, range, "discard");
      else if (dice < 0.45) await this.#change(volume, range, "zero");
      else await this.#change(volume, range, dice < 0.5 ? "fua" : "write");
    } finally {
      volume.busy.delete(range);
    }
  }

  async #make(): Promise<void> {
    if (this.#volumes.size >= VOLUMES_MAX) return;
    const { volumeSectorsMax, isThin } = this.#options;
    const number = ++this.#made;
    const sectors = 1 + this.#random.below(volumeSectorsMax);
    const volume: Volume = {
      name: `v${number}`,
      number,
      history: new SectorHistory(sectors),
      device: null,
      busy: new Set(),
      isUnsure: true,
    };
    this.#volumes.set(volume.name, volume);
    this.#say(`create ${volume.name} of ${sectors} sectors`);
    try {
      const sizeBytes = sectors * SECTOR_BYTES;
      await this.#pool?.createVolume({ name: volume.name, sizeBytes, isThin });
    } catch (error) {
      if (!this.#isOver) this.#volumes.delete(volume.name);
      throw error;
    }
    if (this.#isOver) return;
    volume.isUnsure = false;
    await this.#open(volume);
    if (this.#options.isFilled === true) await this.#fill(volume);
  }

  async #fill(volume: Volume): Promise<void> {
    const { sectors } = volume.history;
    for (let first = 0; first < sectors && !this.#isOver; first += FILL_SECTORS) {
      const range = [first, Math.min(first + FILL_SECTORS, sectors)] as const;
      if ([...volume.busy].some(([from, to]) => from < range[1] && first < to)) continue;
      volume.busy.add(range);
      try {
        await this.#change(volume, range, "write");
      } finally {
        volume.busy.delete(range);
      }
    }
  }

  async #open(volume: Volume): Promise<void> {
    const pool = this.#pool;
    const device = await pool?.openVolume(volume.name, { stageName: volume.name });
    if (device === undefined || this.#pool !== pool) return;
    volume.device = new PromiseDevice(device);
  }

  async #delete(volume: Volume): Promise<void> {
    if (volume.busy.size > 0) return;
    const { device } = volume;
    volume.device = null;
    await device?.close();
    if (this.#isOver) return;
    this.#say(`delete ${volume.name}`);
    volume.isUnsure = true;
    await this.#pool?.deleteVolume(volume.name);
    if (!this.#isOver) this.#volumes.delete(volume.name);
  }

  async #flush({ device, history, name }: Volume): Promise<void> {
    const time = ++this.#step;
    await device?.flush();
    if (this.#isOver) return;
    this.#say(`flushed ${name} as of ${time}`);
    history.flushed(time);
  }

  async #change(
    { device, history, number, name }: Volume,
    [first, end]: readonly [number, number],
    how: "write" | "fua" | "discard" | "zero",
  ): Promise<void> {
    const count = end - first;
    const value = how === "write" || how === "fua" ? ++this.#value : 0;
    const change = history.begin(first, count, value);
    const [offset, length] = [first * SECTOR_BYTES, count * SECTOR_BYTES];
    this.#say(`${how} ${name} ${first}+${count} = ${value}`);
    if (how === "discard") await device?.discard(offset, length);
    else if (how === "zero") await device?.writeZeroes(offset, length);
    else {
      const isThere = isFullyWritten(history, first, end);
      const bytes = stamped(number, first, count, value);
      const writing = device?.writeAt(offset, bytes, { fua: how === "fua" });
      await writing?.catch((error: unknown) => {
        const isNoSpace = error instanceof DeviceError && error.code === "no-space";
        if (isNoSpace && isThere) throw new Error(`overwriting ${first}+${count} found no space`);
        throw error;
      });
    }
    if (this.#isOver) return;
    change.acknowledged(++this.#step, how === "fua");
    this.#say(`ended ${how} ${name} ${first}+${count} = ${value}`);
  }

  async #compare(volume: Volume, [first, end]: readonly [number, number]): Promise<void> {
    const count = end - first;
    const bytes = await volume.device?.readAt(first * SECTOR_BYTES, count * SECTOR_BYTES);
    if (bytes === undefined || this.#isOver) return;
    for (let sector = first; sector < end; sector++) {
      this.#expect(volume, sector, valueIn(bytes, sector - first, volume.number, sector), "none");
    }
  }

  #expect(volume: Volume, sector: number, value: number, loss: Loss): void {
    const allowed = volume.history.allowed(sector, loss);
    if (allowed.includes(value)) return;
    const said = `sector ${sector} of ${volume.name} is ${value}`;
    throw new Error(`${said} after ${loss}; it may be ${allowed.join(" or ")}`);
  }

  #freeRange({ history, busy }: Volume): readonly [number, number] | null {
    const first = this.#random.below(history.sectors);
    const isWhole = this.#random.chance(0.5);
    const most = Math.min(history.sectors - first, this.#options.sectorsMax);
    const start = isWhole ? first - (first % 8) : first;
    const end = Math.min(start + 1 + this.#random.below(most), history.sectors);
    for (const [from, to] of busy) if (from < end && start < to) return null;
    return [start, end];
  }

  /** All volumes, and only those, with what history allows. */
  async #look(loss: Loss): Promise<void> {
    const pool = this.#pool;
    if (pool === null) throw new Error("there is a pool to look at");
    const names = new Set(pool.volumes().map(({ name }) => name));
    for (const volume of [...this.#volumes.values()]) {
      if (!names.delete(volume.name)) {
        if (!volume.isUnsure) throw new Error(`${volume.name} is gone after ${loss}`);
        this.#volumes.delete(volume.name);
        continue;
      }
      volume.isUnsure = false;
      if (volume.device === null) await this.#open(volume);
      await this.#lookAt(volume, loss);
    }
    if (names.size > 0) throw new Error(`${[...names].join(", ")}: nobody has made them`);
  }

  async #lookAt(volume: Volume, loss: Loss): Promise<void> {
    const { history, device, number } = volume;
    const bytes = await device?.readAt(0, history.sectors * SECTOR_BYTES);
    if (bytes === undefined) throw new Error(`${volume.name} is open`);
    for (let sector = 0; sector < history.sectors; sector++) {
      const value = valueIn(bytes, sector, number, sector);
      this.#expect(volume, sector, value, loss);
      if (loss !== "none") history.saw(sector, value);
    }
  }

  async #check(): Promise<void> {
    const pool = this.#pool;
    if (pool === null) return;
    await pool.deleted();
    const { problems } = await walkPool(pool.parts);
    if (problems.length > 0) throw new Error(`the walk found: ${problems.join("; ")}`);
    const bad = this.#environment.events.filter(({ code }) => code === "pool-damage-found");
    if (bad.length > 0) throw new Error(`damage: ${bad.map(({ message }) => message).join("; ")}`);
  }

  async #closeVolumes(): Promise<void> {
    for (const volume of this.#volumes.values()) {
      await volume.device?.close();
      volume.device = null;
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#reactor.clock.startTimer(delayMs, () => this.#reactor.deliverLater(resolve));
    });
  }

  #say(text: string): void {
    this.trace.push(text);
    if (this.trace.length > 2000) this.trace.shift();
  }
}

/** All blocks that the sectors lie in have data for sure, before a change of them begins. */
function isFullyWritten(history: SectorHistory, first: number, end: number): boolean {
  const start = first - (first % 8);
  const stop = Math.min(Math.ceil(end / 8) * 8, history.sectors);
  for (let sector = start; sector < stop; sector++) {
    if (history.allowed(sector, "none").includes(0)) return false;
  }
  return true;
}

function stamped(volume: number, first: number, count: number, value: number): Uint8Array {
  const bytes = new Uint8Array(count * SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) {
    for (let at = index * SECTOR_BYTES; at < (index + 1) * SECTOR_BYTES; at += 16) {
      view.setUint32(at, volume, true);
      view.setUint32(at + 4, first + index, true);
      view.setUint32(at + 8, value, true);
      view.setUint32(at + 12, 0x5ec7, true);
    }
  }
  return bytes;
}

/** @throws Error for what was never written there */
function valueIn(bytes: Uint8Array, index: number, volume: number, sector: number): number {
  const at = index * SECTOR_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, SECTOR_BYTES);
  const value = view.getUint32(8, true);
  const expected = value === 0 ? new Uint8Array(SECTOR_BYTES) : stamped(volume, sector, 1, value);
  for (let byte = 0; byte < SECTOR_BYTES; byte++) {
    if (bytes[at + byte] === expected[byte]) continue;
    const found = [0, 4, 8, 12].map((word) => view.getUint32(word, true));
    throw new Error(`sector ${sector} of volume ${volume} holds what is not its: ${found}`);
  }
  return value;
}
