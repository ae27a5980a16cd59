/**
 * SimWorld: hosts, processes and faults on a FakeWorld, all from one seed. It applies the fault
 * steps of a schedule, ends each when its time is over, counts what struck, and writes the trace.
 *
 * A scenario builds its hosts and processes on it, and hears of what befalls them by the processes'
 * `onDown` and by `onPowerLoss`, `onDiskFault`.
 */

import type { FakeDisk, FakeDiskOptions } from "../reactor/fake/fake-disk.ts";
import type { FakeFault, FakeFileOperation } from "../reactor/fake/fake-faults.ts";
import { FakeWorld } from "../reactor/fake/fake-world.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { Errno } from "../reactor/errno.ts";
import { assert, unreachable } from "../util/assert.ts";
import type { DiskOperation, FaultStep } from "./schedule.ts";
import { SECTOR_BYTES } from "./sector-pattern.ts";
import { SimProcess, type SimProcessHost, type SimProcessOptions } from "./sim-process.ts";

const LATENCY_MIN_MS = 0.02;
const LATENCY_MAX_MS = 0.3;

const OPERATIONS: Readonly<Record<DiskOperation, readonly FakeFileOperation[]>> = {
  read: ["read"],
  write: ["write"],
  sync: ["sync"],
  zero: ["punch", "zero"],
};

export interface SimWorldOptions {
  readonly seed: number;
  readonly disk?: FakeDiskOptions;
  readonly trace: (line: string) => void;
}

/** A fault that lasts. */
interface LastingFault {
  readonly name: string;
  end(): void;
}

interface DiskPlace {
  readonly host: string;
  readonly path: string;
  readonly name: string;
}

/** One injected disk fault, for scenarios that judge errors. */
export interface DiskFault {
  readonly host: string;
  readonly path: string;
  readonly on: DiskOperation;
  readonly effect: "error" | "hang";
  /** Sectors; errors only. */
  readonly first: number;
  readonly count: number;
  readonly fault: FakeFault;
}

export class SimWorld implements SimProcessHost {
  readonly fake: FakeWorld;
  /** Hosts in the order of their making: what a step's index means. */
  readonly hosts: string[] = [];
  readonly processes: SimProcess[] = [];
  /** How many faults struck, by kind. */
  readonly faultCounts = new Map<string, number>();
  /** Every fault has ended; none comes any more. */
  isHealed = false;
  /** All disk errors and hangs that were injected. */
  readonly diskFaults: DiskFault[] = [];
  /** A host has lost its power: its processes are gone, its disk has lost what it may. */
  onPowerLoss: ((host: string) => void) | null = null;
  /** Bits of a host's disk have turned. */
  onRot: ((host: string, first: number, count: number) => void) | null = null;
  /** A host's page cache has let go of what a failed sync could not write. */
  onCacheDrop: ((host: string) => void) | null = null;
  /** The files on each host's disk that rot, fail and hang; at least one. */
  diskPaths: readonly string[] = ["/disk.img"];
  readonly #trace: (line: string) => void;
  readonly #unpowered = new Set<string>();
  readonly #conductor: Reactor["clock"];
  #lasting: LastingFault[] = [];
  /** Processes that are down until their restart. */
  readonly #downed = new Set<SimProcess>();

  constructor(options: SimWorldOptions) {
    this.fake = new FakeWorld({
      seed: options.seed,
      ...(options.disk === undefined ? {} : { disk: options.disk }),
    });
    this.#trace = options.trace;
    this.#conductor = this.fake.process({ host: "conductor", name: "conductor" }).io.clock;
  }

  get nowMs(): number {
    return this.fake.nowMs;
  }

  /** Names a host. Its index in `hosts` is what steps call it. */
  host(name: string): FakeDisk {
    if (!this.hosts.includes(name)) this.hosts.push(name);
    return this.fake.disk(name);
  }

  /** A process that is not started yet. */
  process<T>(options: SimProcessOptions<T>): SimProcess<T> {
    this.host(options.host);
    const process = new SimProcess(this, options);
    this.processes.push(process as SimProcess);
    return process;
  }

  trace(line: string): void {
    this.#trace(`${this.nowMs.toFixed(3)} ${line}`);
  }

  after(delayMs: number, callback: () => void): void {
    this.#conductor.startTimer(delayMs, callback);
  }

  isPowered(host: string): boolean {
    return !this.#unpowered.has(host);
  }

  /** Lets virtual time pass until `untilMs`. */
  async runTo(untilMs: number): Promise<void> {
    await this.fake.run({ untilMs });
  }

  /** Lets time pass until `isDone`, looking every `stepMs`. @returns false: not within `limitMs` */
  async runUntil(isDone: () => boolean, limitMs: number, stepMs = 5): Promise<boolean> {
    const untilMs = this.nowMs + limitMs;
    while (!isDone()) {
      if (this.nowMs >= untilMs) return false;
      await this.runTo(Math.min(this.nowMs + stepMs, untilMs));
    }
    return true;
  }

  /** Does a fault step. @returns false: it makes no sense now */
  apply(step: FaultStep): boolean {
    const struck = this.#strike(step);
    if (!struck) return false;
    this.faultCounts.set(step.kind, (this.faultCounts.get(step.kind) ?? 0) + 1);
    return true;
  }

  /** Ends all faults that last, now, and starts every process that is down. */
  heal(): void {
    this.isHealed = true;
    const lasting = this.#lasting;
    this.#lasting = [];
    for (const { name, end } of lasting) {
      this.trace(`healed: ${name}`);
      end();
    }
    for (const process of this.#downed) this.#restart(process);
  }

  /** The host loses its power, for `ms`; also what a scenario's last examination does. */
  losePower(host: string, keep: number, ms: number): boolean {
    if (!this.isPowered(host)) return false;
    this.trace(`power loss of ${host}`);
    this.#unpowered.add(host);
    this.fake.powerLoss(host, keep < 0 ? undefined : keep);
    for (const process of this.processes) {
      if (process.host !== host) continue;
      // Also one that is down for a moment, after a start that failed.
      process.gone();
      this.#downed.add(process);
    }
    this.onPowerLoss?.(host);
    this.#last(`power of ${host}`, ms, () => {
      this.#unpowered.delete(host);
      this.trace(`${host} has power`);
      for (const process of this.#downed) if (process.host === host) this.#restart(process);
    });
    return true;
  }

  #strike(step: FaultStep): boolean {
    switch (step.kind) {
      case "kill":
        return this.#kill(this.#pick(this.processes, step.process), step.ms);
      case "pause":
        return this.#pause(this.#pick(this.processes, step.process), step.ms);
      case "clock-jump":
        return this.#pick(this.processes, step.process)?.jumpClock(step.ms) === true;
      case "power-loss":
        return this.losePower(this.#host(step.host), step.keep, step.ms);
      case "cut":
      case "cut-one-way":
        return this.#cut(this.#host(step.host), this.#host(step.to), step);
      case "slow-link":
        return this.#slowLink(step.latencyMs, step.ms);
      case "reset":
      case "stall":
        return this.#disturb(step);
      case "disk-error":
        return this.#diskError(step);
      case "disk-hang":
        return this.#diskHang(step);
      case "disk-slow":
        return this.#diskSlow(step);
      case "disk-full":
        return this.#diskFull(this.#host(step.host), step.pages, step.ms);
      case "drop-cache":
        return this.#dropCache(step);
      case "rot":
        return this.#rot(step);
      default:
        return unreachable(step);
    }
  }

  #kill(process: SimProcess | null, ms: number): boolean {
    if (process === null || !process.isAlive) return false;
    this.trace(`kill ${process.name}`);
    process.kill();
    this.#downed.add(process);
    this.#last(`kill of ${process.name}`, ms, () => this.#restart(process));
    return true;
  }

  #restart(process: SimProcess): void {
    if (!this.isPowered(process.host)) return;
    this.#downed.delete(process);
    process.start();
  }

  #pause(process: SimProcess | null, ms: number): boolean {
    if (process?.pause() !== true) return false;
    this.trace(`pause ${process.name}`);
    this.#last(`pause of ${process.name}`, ms, () => process.resume());
    return true;
  }

  #cut(
    from: string,
    to: string,
    step: FaultStep & { readonly kind: "cut" | "cut-one-way" },
  ): boolean {
    if (from === to) return false;
    const isOneWay = step.kind === "cut-one-way";
    const name = `cut ${from} ${isOneWay ? ">" : "<>"} ${to}`;
    this.trace(name);
    this.fake.network.cut(from, to, isOneWay);
    this.#last(name, step.ms, () => this.fake.network.heal(from, to));
    return true;
  }

  #slowLink(latencyMs: number, ms: number): boolean {
    const { network } = this.fake;
    this.trace(`links are slow: ${latencyMs} ms`);
    network.latency = { minMs: latencyMs / 2, maxMs: latencyMs };
    this.#last("slow links", ms, () => {
      network.latency = { minMs: LATENCY_MIN_MS, maxMs: LATENCY_MAX_MS };
    });
    return true;
  }

  #disturb(step: FaultStep & { readonly kind: "reset" | "stall" }): boolean {
    const connection = this.#pick(this.fake.network.connections, step.connection);
    if (connection === null) return false;
    this.trace(`${step.kind} of a connection to ${connection.key}`);
    if (step.kind === "reset") {
      connection.reset();
      return true;
    }
    const ways = [["to-server"], ["to-client"], ["to-server", "to-client"]] as const;
    const stalled = ways[step.way % ways.length] ?? ways[0];
    for (const way of stalled) connection.pause(way);
    this.#last(`stall of a connection to ${connection.key}`, step.ms, () => {
      for (const way of stalled) connection.resume(way);
    });
    return true;
  }

  #diskError(step: FaultStep & { readonly kind: "disk-error" }): boolean {
    const { host, path, name } = this.#place(step);
    const { on, first, count, times, ms } = step;
    this.trace(`errors of ${on} at ${first}+${count} on ${name}`);
    const fault = this.fake.disk(host).faults.inject({
      effect: { kind: "error", errno: Errno.EIO },
      path,
      operations: OPERATIONS[on],
      range: { offset: first * SECTOR_BYTES, length: count * SECTOR_BYTES },
      count: times,
    });
    this.diskFaults.push({ host, path, on, effect: "error", first, count, fault });
    this.#last(`errors of ${on} on ${name}`, ms, () => fault.remove());
    return true;
  }

  #diskHang(step: FaultStep & { readonly kind: "disk-hang" }): boolean {
    const { host, path, name } = this.#place(step);
    const { on, times, ms } = step;
    this.trace(`${on} hangs on ${name}`);
    const fault = this.fake.disk(host).faults.inject({
      effect: { kind: "hang" },
      path,
      operations: OPERATIONS[on],
      count: times,
    });
    this.diskFaults.push({ host, path, on, effect: "hang", first: 0, count: 0, fault });
    this.#last(`hung ${on} on ${name}`, ms, () => fault.release());
    return true;
  }

  #diskSlow(step: FaultStep & { readonly kind: "disk-slow" }): boolean {
    const { host, path, name } = this.#place(step);
    const { delayMs, times, ms } = step;
    this.trace(`disk of ${name} is slow: ${delayMs} ms`);
    const fault = this.fake.disk(host).faults.inject({
      effect: { kind: "delay", delayMs },
      path,
      count: times,
    });
    this.#last(`slow disk of ${name}`, ms, () => fault.remove());
    return true;
  }

  #diskFull(host: string, pages: number, ms: number): boolean {
    const disk = this.fake.disk(host);
    if (disk.spacePages !== Number.POSITIVE_INFINITY) return false;
    this.trace(`disk of ${host} has ${pages} pages left`);
    disk.spacePages = disk.usedPages + pages;
    this.#last(`full disk of ${host}`, ms, () => {
      disk.spacePages = Number.POSITIVE_INFINITY;
    });
    return true;
  }

  #dropCache(step: FaultStep & { readonly kind: "drop-cache" }): boolean {
    const { host, path, name } = this.#place(step);
    const file = this.fake.disk(host).file(path);
    if (file === undefined) return false;
    this.trace(`page cache of ${name} lets go`);
    file.dropCache();
    this.onCacheDrop?.(host);
    return true;
  }

  #rot(step: FaultStep & { readonly kind: "rot" }): boolean {
    const { host, path, name } = this.#place(step);
    const { first, count } = step;
    const file = this.fake.disk(host).file(path);
    if (file === undefined || (first + count) * SECTOR_BYTES > file.sizeBytes) return false;
    this.trace(`rot of ${first}+${count} on ${name}`);
    file.corrupt(first * SECTOR_BYTES, count * SECTOR_BYTES);
    this.onRot?.(host, first, count);
    return true;
  }

  /** Has `end` run after `ms`, or at `heal`, whichever comes first. */
  #last(name: string, ms: number, end: () => void): void {
    const lasting: LastingFault = { name, end };
    this.#lasting.push(lasting);
    this.after(ms, () => {
      const index = this.#lasting.indexOf(lasting);
      if (index === -1) return;
      this.#lasting.splice(index, 1);
      this.trace(`over: ${name}`);
      end();
    });
  }

  /** Which file a fault is of; `name` is how the trace calls it. */
  #place(step: { readonly host: number; readonly disk?: number }): DiskPlace {
    const host = this.#host(step.host);
    const path = this.#pick(this.diskPaths, step.disk ?? 0);
    assert(path !== null, "a host has a disk");
    return { host, path, name: this.diskPaths.length === 1 ? host : `${host}${path}` };
  }

  #pick<T>(items: readonly T[], index: number): T | null {
    return items.length === 0 ? null : (items[index % items.length] ?? null);
  }

  #host(index: number): string {
    const host = this.#pick(this.hosts, index);
    assert(host !== null, "a world has hosts");
    return host;
  }
}
