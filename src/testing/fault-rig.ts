/**
 * A target and an initiator of ours as two processes of a fake world, for tests that kill, pause,
 * cut off and power-cycle: and a load that knows for each block what may be found there.
 *
 * Owned by one test. The target's file lies on the fake disk of its host, so that acknowledged
 * writes outlive a kill and only flushed ones a power loss. What protocol they speak is the
 * `RemotePair`'s.
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Device } from "../block/device.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { Status } from "../block/status.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { type FakeProcess, FakeWorld } from "../reactor/fake/fake-world.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { Reactor } from "../reactor/reactor.ts";
import type { PenstockError } from "../util/errors.ts";
import type { Prng } from "../util/prng.ts";

/** A device whose data is on another machine, as these tests see it. */
export interface RemoteTestDevice extends Device {
  readonly condition: { readonly link: string; readonly fault: Status; readonly reason: string };
  readonly activeCount: number;
}

/** Options that every initiator has. */
export interface RemoteTestOptions {
  readonly failFast?: boolean;
  readonly timeoutMs?: number;
  readonly rideOutMs?: number;
  /** One connection for data. */
  readonly isSingle?: boolean;
  /** Asks for what the target does not have. */
  readonly isUnknown?: boolean;
}

/** A protocol: its service and its initiator. */
export interface RemotePair {
  /** For the names of tests: "NbdDevice". */
  readonly name: string;
  /** What opening something unknown ends with. */
  readonly unknown: { readonly code: string; readonly message: RegExp };
  /** Shares `device` at `address`. */
  serve(reactor: Reactor, device: Device, address: SocketAddress): Promise<void>;
  open(
    reactor: Reactor,
    address: SocketAddress,
    options: RemoteTestOptions,
  ): Promise<RemoteTestDevice>;
}

const ADDRESS = { kind: "tcp", host: "target", port: 7 } as const;
const DISK_BYTES = 4 * 1024 * 1024;

export interface FaultRigOptions {
  readonly initiator?: RemoteTestOptions;
  readonly source?: "file" | "malloc";
  readonly sizeBytes?: number;
}

export class FaultRig {
  readonly world: FakeWorld;
  readonly reactor: Reactor;
  readonly #pair: RemotePair;
  readonly #options: FaultRigOptions;
  readonly #initiator: FakeProcess;
  #target: FakeProcess | null = null;
  #starts = 0;

  constructor(pair: RemotePair, seed: number, options: FaultRigOptions = {}) {
    this.world = new FakeWorld({ seed });
    this.#pair = pair;
    this.#options = options;
    this.#initiator = this.world.process({ host: "initiator" });
    this.reactor = new Reactor({ id: 0, io: this.#initiator.io });
  }

  /** Runs `body` in the world's time. */
  run(body: () => Promise<void>): Promise<void> {
    return this.world.runUntil(body());
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.reactor.clock.startTimer(delayMs, resolve);
    });
  }

  async startTarget(sizeBytes: number = this.#options.sizeBytes ?? DISK_BYTES): Promise<void> {
    const process = this.world.process({ host: "target" });
    this.#target = process;
    const reactor = new Reactor({ id: 0, io: process.io });
    await this.#pair.serve(reactor, await this.#source(reactor, sizeBytes), ADDRESS);
  }

  openDevice(extra: RemoteTestOptions = {}): Promise<RemoteTestDevice> {
    return this.#pair.open(this.reactor, ADDRESS, { ...this.#options.initiator, ...extra });
  }

  /** kill -9: its page cache stays. */
  killTarget(): void {
    this.#target?.kill();
  }

  /** The target's host loses power. */
  losePower(): void {
    this.world.powerLoss("target");
  }

  pauseTarget(): void {
    this.#target?.pause();
  }

  resumeTarget(): void {
    this.#target?.resume();
  }

  /** A reset of one connection, or of all. */
  cutConnections(which: "one" | "all"): void {
    const { connections } = this.world.network;
    if (connections.length === 0) return;
    const picked =
      which === "all" ? connections : [connections[this.world.prng.below(connections.length)]];
    for (const connection of picked) connection?.reset();
  }

  #source(reactor: Reactor, sizeBytes: number): Promise<Device> {
    if (this.#options.source === "malloc") {
      const instanceId = `00000000-0000-4000-8000-${String(this.#starts++).padStart(12, "0")}`;
      return MallocDevice.open(reactor, { name: "m", sizeBytes, instanceId });
    }
    return FileDevice.open(reactor, { path: "/disk.img", sizeBytes });
  }
}

/** What a disk writes as a whole. */
const BLOCK_BYTES = 512;
const BLOCKS_PER_LANE = 96;
const BLOCKS_MAX = 24;

/** What one block has been, since the last flush that covered it. */
interface BlockHistory {
  /** Values that may be there after a power loss, oldest first; the last is the newest. */
  readonly values: number[];
  /** Values dropped from the list's beginning so far. */
  dropped: number;
  /** False after a power loss, until it has been read: it may be any of the values. */
  isKnown: boolean;
}

/** Writes, reads and flushes from several lanes, each with blocks of its own. */
export class FaultLoad {
  readonly device: PromiseDevice;
  readonly #prng: Prng;
  readonly #laneCount: number;
  readonly #blocks: BlockHistory[];
  #number = 0;
  #isStopped = false;
  #powerLosses = 0;
  /** `losses` when the power was lost last. */
  #lossesAtPowerLoss = 0;
  /** Operations that succeeded. */
  done = 0;
  /** Flushes that reported a loss. */
  losses = 0;

  constructor(device: Device, prng: Prng, laneCount = 6) {
    this.device = new PromiseDevice(device);
    this.#prng = prng;
    this.#laneCount = laneCount;
    this.#blocks = Array.from({ length: laneCount * BLOCKS_PER_LANE }, () => ({
      values: [0],
      dropped: 0,
      isKnown: true,
    }));
  }

  /** Until `stop`. Rejects with the first error that is not a reported loss. */
  async run(): Promise<void> {
    const lanes = Array.from({ length: this.#laneCount }, async (_, lane) => {
      while (!this.#isStopped) await this.#step(lane * BLOCKS_PER_LANE);
    });
    await Promise.all(lanes);
  }

  /** Waits until `count` more operations have succeeded. */
  async progress(count = 30): Promise<void> {
    const until = this.done + count;
    while (this.done < until) {
      await new Promise<void>((resolve) => {
        this.device.device.reactor.clock.startTimer(1, resolve);
      });
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** What was not flushed may be gone; what was, may not. */
  notePowerLoss(): void {
    this.#powerLosses++;
    this.#lossesAtPowerLoss = this.losses;
    for (const block of this.#blocks) block.isKnown = false;
  }

  /** Reads every block and compares. */
  async verify(): Promise<void> {
    for (let index = 0; index < this.#blocks.length; index += BLOCKS_PER_LANE) {
      await this.#check(index, BLOCKS_PER_LANE);
    }
  }

  /** @returns false: it reported a loss */
  async flush(): Promise<boolean> {
    // Only values that were acknowledged before the flush are covered by it.
    // Once a loss has been reported, a flush only makes durable what is left.
    const isReported = this.losses > this.#lossesAtPowerLoss;
    const covered = this.#blocks.map(({ values, dropped, isKnown }) =>
      isKnown || !isReported ? dropped + values.length - 1 : 0,
    );
    try {
      await this.device.flush();
    } catch (error) {
      strictEqual((error as PenstockError).code, "data-lost");
      this.losses++;
      return false;
    }
    for (const [index, block] of this.#blocks.entries()) {
      if (!block.isKnown && this.losses > this.#lossesAtPowerLoss) continue;
      drop(block, (covered[index] ?? 0) - block.dropped);
    }
    return true;
  }

  async #step(first: number): Promise<void> {
    const start = first + this.#prng.below(BLOCKS_PER_LANE);
    const count = 1 + this.#prng.below(Math.min(BLOCKS_MAX, first + BLOCKS_PER_LANE - start));
    const choice = this.#prng.below(20);
    if (choice === 0) await this.flush();
    else if (choice < 8) await this.#check(start, count);
    else await this.#change(start, count, choice);
    this.done++;
  }

  async #change(start: number, count: number, choice: number): Promise<void> {
    const offset = start * BLOCK_BYTES;
    const length = count * BLOCK_BYTES;
    const isZero = choice < 10;
    const number = isZero ? 0 : ++this.#number;
    const isDurable = choice === 19;
    if (choice === 8) await this.device.discard(offset, length);
    else if (choice === 9) await this.device.writeZeroes(offset, length);
    else await this.device.writeAt(offset, content(start, count, number), { fua: isDurable });
    for (let index = start; index < start + count; index++) {
      const block = this.#blocks[index] as BlockHistory; // within the lane
      block.values.push(number);
      if (isDurable) drop(block, block.values.length - 1);
      // A write that was sent again after the loss is there.
      block.isKnown = true;
    }
  }

  async #check(start: number, count: number): Promise<void> {
    const before = this.#blocks.slice(start, start + count).map(({ isKnown }) => isKnown);
    const losses = this.#powerLosses;
    const bytes = await this.device.readAt(start * BLOCK_BYTES, count * BLOCK_BYTES);
    for (let index = 0; index < count; index++) {
      const block = this.#blocks[start + index] as BlockHistory; // within the lane
      const have = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
      const found = new DataView(have.buffer, have.byteOffset).getUint32(4);
      deepStrictEqual(Buffer.compare(have, content(start + index, 1, found)), 0, "torn block");
      const newest = block.values.at(-1);
      const wasKnown = before[index] === true && block.isKnown;
      if (wasKnown) strictEqual(found, newest, `block ${start + index}`);
      else ok(block.values.includes(found), `block ${start + index}: ${found} of ${block.values}`);
      if (found !== newest) block.values.push(found);
      if (losses === this.#powerLosses) block.isKnown = true;
    }
  }
}

/** The `count` oldest values can not be there any more. */
function drop(block: BlockHistory, count: number): void {
  if (count <= 0) return;
  block.values.splice(0, count);
  block.dropped += count;
}

/** Number 0 is zeroes. */
function content(start: number, count: number, number: number): Uint8Array {
  const bytes = new Uint8Array(count * BLOCK_BYTES);
  if (number === 0) return bytes;
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 8) {
    view.setUint32(at, start + Math.floor(at / BLOCK_BYTES));
    view.setUint32(at + 4, number);
  }
  return bytes;
}
