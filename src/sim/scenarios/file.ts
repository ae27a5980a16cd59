/**
 * Scenario `file`: several clients on one FileDevice. Its process is killed, its host loses power,
 * its disk fails, hangs, is slow and full; a failed sync must be sticky until the device is opened
 * again. With honest or lying flushes, buffered or direct.
 */

import { FileDevice } from "../../devices/file.ts";
import { Status, statusName } from "../../block/status.ts";
import { Prng } from "../../util/prng.ts";
import { drawMs, drawProgram, type DrawnFault, pickWeighted, type Weighted } from "../draw.ts";
import { type History, type HistoryOp, NEVER } from "../history.ts";
import type { Run, Scenario, Stage } from "../run.ts";
import { type DiskOperation, type EventStep, type Schedule, settingOf } from "../schedule.ts";
import type { SimClient } from "../client.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";
import type { SimProcess } from "../sim-process.ts";

const PATH = "/disk.img";
const REOPEN_MS = 3;

const KINDS = [
  { weight: 30, value: "read" },
  { weight: 40, value: "write" },
  { weight: 9, value: "flush" },
  { weight: 5, value: "discard" },
  { weight: 5, value: "zeroes" },
  { weight: 4, value: "compare" },
  { weight: 7, value: "compare-and-write" },
] as const;

export const FILE_SCENARIO: Scenario = {
  name: "file",
  about: "one file on one disk: kill, power loss, failed syncs, disk errors, a full disk",
  draw,
  start: (run) => new FileStage(run),
};

function draw(seed: number): Schedule {
  const prng = new Prng(`file ${seed}`);
  const blockSectors = prng.pick([1, 1, 1, 8]);
  const settings = {
    clients: 1 + prng.below(4),
    sectors: prng.pick([64, 256, 512]),
    blockSectors,
    direct: prng.pick([0, 0, 1]),
    lyingFlush: prng.below(8) === 0 ? 1 : 0,
  };
  const steps = drawProgram(prng, {
    clients: settings.clients,
    sectors: settings.sectors,
    granule: blockSectors,
    countMax: 64,
    kinds: KINDS,
    fuaChance: 0.15,
    operations: 760,
    faults: 14 + prng.below(8),
    paceMs: prng.pick([0.05, 0.2, 0.5]),
    drawFault: (fork) => pickWeighted(fork, FAULTS)(fork, settings.sectors),
  });
  return { scenario: "file", seed, settings, steps };
}

type DrawFault = (prng: Prng, sectors: number) => DrawnFault;

const FAULTS: readonly Weighted<DrawFault>[] = [
  { weight: 4, value: (prng) => ({ kind: "kill", process: 0, ms: drawMs(prng, 0, 4) }) },
  {
    weight: 5,
    value: (prng) => {
      const keep = prng.pick([-1, -1, 0, 1, 0.5]);
      return { kind: "power-loss", host: 0, keep, ms: drawMs(prng, 0, 4) };
    },
  },
  { weight: 1, value: (prng) => ({ kind: "pause", process: 0, ms: drawMs(prng, 0, 5) }) },
  {
    weight: 4,
    value: (prng, sectors) => {
      const on = prng.pick<DiskOperation>(["read", "write", "sync", "sync", "sync", "zero"]);
      const first = prng.below(prng.pick([16, sectors]));
      const count = 1 + prng.below(16);
      const times = 1 + prng.below(2);
      return { kind: "disk-error", host: 0, on, first, count, times, ms: drawMs(prng, 1, 20) };
    },
  },
  {
    weight: 2,
    value: (prng) => {
      const on = prng.pick<DiskOperation>(["read", "write", "sync", "zero"]);
      const times = 1 + prng.below(3);
      return { kind: "disk-hang", host: 0, on, times, ms: drawMs(prng, 1, 15) };
    },
  },
  {
    weight: 1,
    value: (prng) => {
      const delayMs = drawMs(prng, 1, 10);
      return { kind: "disk-slow", host: 0, delayMs, times: 4, ms: drawMs(prng, 1, 10) };
    },
  },
  {
    weight: 2,
    value: (prng) => {
      const pages = prng.below(4);
      return { kind: "disk-full", host: 0, pages, ms: drawMs(prng, 2, 20) };
    },
  },
  { weight: 1, value: () => ({ kind: "drop-cache", host: 0 }) },
  {
    weight: 1,
    value: (prng) => ({ kind: "clock-jump", process: 0, ms: drawMs(prng, 1, 10_000) }),
  },
  { weight: 1, value: () => ({ kind: "event", name: "reopen", target: 0, ms: 0 }) },
];

class FileStage implements Stage {
  readonly #run: Run;
  readonly #history: History;
  readonly #clients: SimClient[];
  readonly #process: SimProcess<FileDevice>;
  #device: FileDevice | null = null;
  /** A sync of this device has failed: it must answer media-error from then on. */
  #faultedSince = NEVER;
  /** From then on it may do so. */
  #suspectSince = NEVER;
  /** Syncs that the disk has failed, whether or not somebody heard of it. */
  #failedSyncs = 0;

  constructor(run: Run) {
    this.#run = run;
    const { schedule, world } = run;
    const sectorCount = settingOf(schedule, "sectors");
    const flushLies = settingOf(schedule, "lyingFlush") === 1;
    this.#history = run.history({ sectorCount, flushLies });
    const history = this.#history;
    this.#clients = Array.from({ length: settingOf(schedule, "clients") }, (_, index) =>
      run.client({
        name: `c${index}`,
        history,
        check: (op, status) => this.#check(op, status),
      }),
    );
    this.#process = world.process({
      name: "engine",
      host: "node",
      boot: (reactor) =>
        FileDevice.open(reactor, {
          path: PATH,
          sizeBytes: sectorCount * SECTOR_BYTES,
          direct: settingOf(schedule, "direct") === 1,
          blockSizeBytes: settingOf(schedule, "blockSectors") * SECTOR_BYTES,
        }),
      onUp: (device) => this.#opened(device),
      onDown: () => this.#down(),
    });
    world.onPowerLoss = () => history.powerLoss(true);
    world.onCacheDrop = () => history.dropCache();
    this.#process.start();
  }

  event(step: EventStep): boolean {
    return step.name === "reopen" && this.#reopen();
  }

  mend(): void {
    if (this.#suspectSince !== NEVER) this.#reopen();
  }

  isReady(): boolean {
    return this.#device !== null && this.#suspectSince === NEVER;
  }

  /** What is flushed outlives a loss of power that takes all it may. */
  async examine(): Promise<void> {
    const [client] = this.#clients;
    if (client === undefined) return;
    client.submit({ kind: "flush", first: 0, count: 0 });
    if (!(await this.#run.quiet())) return;
    this.#run.world.losePower("node", 0, 1);
    await this.#run.readBack(client, this);
  }

  #opened(device: FileDevice): void {
    this.#device = device;
    this.#faultedSince = NEVER;
    this.#suspectSince = NEVER;
    for (const client of this.#clients) client.attach(device);
  }

  #down(): void {
    this.#device = null;
    for (const client of this.#clients) client.died();
    // A sync that failed as its process died: the kernel has told nobody.
    const failed = this.#syncsFailed();
    if (failed > this.#failedSyncs) this.#history.doom();
    this.#failedSyncs = failed;
  }

  /** Closes the device and opens it again, in the same process. */
  #reopen(): boolean {
    const device = this.#device;
    if (device === null || !this.#process.isRunning) return false;
    this.#device = null;
    for (const client of this.#clients) client.detach();
    this.#run.world.trace("the device is opened again");
    // When the process dies on the way neither promise settles.
    const sectorCount = settingOf(this.#run.schedule, "sectors");
    device
      .close()
      .then(() =>
        FileDevice.open(device.reactor, {
          path: PATH,
          sizeBytes: sectorCount * SECTOR_BYTES,
          direct: settingOf(this.#run.schedule, "direct") === 1,
          blockSizeBytes: device.info.blockSizeBytes,
        }),
      )
      .then(
        (opened) => {
          if (device.reactor === this.#process.reactor) this.#opened(opened);
        },
        (error: unknown) => this.#run.fail("crash", `cannot be opened again: ${String(error)}`),
      );
    return true;
  }

  #check(op: HistoryOp, status: Status): string | null {
    if (status === Status.ok || status === Status.compareFailed) {
      if (op.start < this.#faultedSince) return null;
      return "the device goes on after a failed sync";
    }
    const isFull = (this.#run.world.faultCounts.get("disk-full") ?? 0) > 0;
    if (status === Status.mediaError) {
      // A durable write that found no space leaves it open whether its sync had failed.
      const isStruck = this.#isStruck(op) || (op.fua && isFull);
      if (!isStruck && this.#suspectSince > op.end)
        return "media-error without a fault of the disk";
      if (op.kind === "flush" || op.fua) this.#suspect(op);
      return null;
    }
    if (status === Status.noSpace && isFull) return null;
    return `unexpected ${statusName(status)}`;
  }

  /** The device is faulted for sure, or perhaps where it had failed before its sync. */
  #suspect(op: HistoryOp): void {
    const isSure = op.kind === "flush" || op.kind === "write";
    if (isSure) this.#faultedSince = Math.min(this.#faultedSince, op.end);
    if (this.#suspectSince !== NEVER) return;
    this.#suspectSince = op.end;
    this.#failedSyncs = this.#syncsFailed();
    const device = this.#device;
    this.#run.world.after(REOPEN_MS, () => {
      if (device === this.#device) this.#reopen();
    });
  }

  /** A fault of the disk that this operation may have met. */
  #isStruck(op: HistoryOp): boolean {
    return this.#run.world.diskFaults.some(({ on, effect, first, count, fault }) => {
      if (effect !== "error" || fault.hits === 0) return false;
      if (on === "sync") return op.kind === "flush" || op.fua;
      return op.first < first + count && first < op.first + op.count;
    });
  }

  #syncsFailed(): number {
    return this.#run.world.diskFaults.reduce(
      (sum, { on, effect, fault }) =>
        on === "sync" && effect === "error" ? sum + fault.hits : sum,
      0,
    );
  }
}
