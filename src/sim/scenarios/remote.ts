/**
 * Scenarios of one volume behind a network: one or two initiators, each with clients, and a target
 * that shares a file or memory. What they speak is the `RemoteProtocol`'s.
 *
 * Connections are reset, stalled and cut; either side is killed, paused, without power; the
 * target's disk fails, hangs and is full. Instance ids must tell of every loss, and nothing of an
 * old association may be done after the first command of a new one.
 */

import type { Device } from "../../block/device.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { Prng } from "../../util/prng.ts";
import { drawMs, drawProgram, type DrawnFault, pickWeighted, type Weighted } from "../draw.ts";
import type { History } from "../history.ts";
import type { Run, Scenario, Stage } from "../run.ts";
import { type DiskOperation, type EventStep, type Schedule, settingOf } from "../schedule.ts";
import { RemoteInitiator, type RemoteSimDevice } from "./remote-initiator.ts";
import { RemoteTarget } from "./remote-target.ts";

export const SOCKET_BUFFER_BYTES = 64 * 1024;
/** Shrunk schedules have none, too. */
export const TIMEOUT_MS_MIN = 10;

export interface RemoteOpenOptions {
  readonly openingId: string;
  readonly connections: number;
  readonly failFast: boolean;
  readonly timeoutMs: number;
  readonly rideOutMs: number;
  readonly connectTimeoutMs: number;
}

/** A share and its initiator. */
export interface RemoteProtocol {
  readonly name: string;
  readonly about: string;
  /** Comparing and writing is one operation of the target's, whoever else writes. */
  readonly comparesAtTarget: boolean;
  serve(reactor: Reactor, device: Device, address: SocketAddress): Promise<void>;
  open(
    reactor: Reactor,
    address: SocketAddress,
    options: RemoteOpenOptions,
  ): Promise<RemoteSimDevice>;
}

const KINDS = [
  { weight: 30, value: "read" },
  { weight: 40, value: "write" },
  { weight: 8, value: "flush" },
  { weight: 4, value: "discard" },
  { weight: 5, value: "zeroes" },
  { weight: 4, value: "compare" },
  { weight: 5, value: "compare-and-write" },
] as const;

export function remoteScenario(protocol: RemoteProtocol): Scenario {
  return {
    name: protocol.name,
    about: protocol.about,
    draw: (seed) => draw(protocol, seed),
    start: (run) => new RemoteStage(run, protocol),
  };
}

function draw({ name: scenario, comparesAtTarget }: RemoteProtocol, seed: number): Schedule {
  const prng = new Prng(`${scenario} ${seed}`);
  const blockSectors = prng.pick([1, 1, 1, 8]);
  const initiators = prng.pick([1, 1, 2]);
  const isPatient = prng.below(3) > 0;
  const mayCompare = comparesAtTarget || initiators === 1;
  // What nothing makes durable for a long time, and much at once, can hardly be judged.
  const lyingFlush = prng.below(8) === 0 ? 1 : 0;
  const isCrowded = initiators > 1;
  const settings = {
    initiators,
    clients: 1 + prng.below(isCrowded ? 2 : 3),
    sectors: prng.pick(lyingFlush === 1 ? [256] : [64, 128, 256]),
    blockSectors,
    malloc: prng.pick([0, 0, 0, 1]),
    direct: prng.pick([0, 0, 1]),
    lyingFlush,
    connections: prng.pick([1, 2, 4]),
    failFast: prng.below(6) === 0 ? 1 : 0,
    inFlight: prng.pick(isCrowded || lyingFlush === 1 ? [2, 4, 6] : [2, 6, 10]),
    timeoutMs: prng.pick([30, 100, 1000, 30_000]),
    rideOutMs: isPatient ? 60_000 : prng.pick([20, 200, 1000]),
    orderly: lyingFlush === 1 ? 1 : prng.pick([0, 1, 1]),
  };
  const steps = drawProgram(prng, {
    clients: settings.clients * initiators,
    sectors: settings.sectors,
    granule: blockSectors,
    countMax: 64,
    kinds: mayCompare ? KINDS : KINDS.filter(({ value }) => value !== "compare-and-write"),
    fuaChance: 0.15,
    operations: 640,
    faults: 14 + prng.below(8),
    paceMs: prng.pick([0.5, 2, 5]),
    drawFault: (fork) => pickWeighted(fork, REMOTE_FAULTS)(fork, settings.sectors),
  });
  return { scenario, seed, settings, steps };
}

export type DrawFault = (prng: Prng, sectors: number) => DrawnFault;

/** Mostly of the first host, the target. */
function drawHost(prng: Prng): number {
  return prng.pick([0, 0, 0, 1, 2]);
}

/** Mostly short, at times long enough for time-outs. */
export function drawOutageMs(prng: Prng): number {
  return drawMs(prng, 0, prng.pick([5, 30, 30, 200, 1500]));
}

export const NETWORK_FAULTS: readonly Weighted<DrawFault>[] = [
  { weight: 8, value: (prng) => ({ kind: "reset", connection: prng.below(8) }) },
  {
    weight: 5,
    value: (prng) => {
      const connection = prng.below(8);
      return { kind: "stall", connection, way: prng.below(3), ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng) => {
      const ms = drawOutageMs(prng);
      return { kind: "cut", host: drawHost(prng), to: 1 + prng.below(2), ms };
    },
  },
  {
    weight: 3,
    value: (prng) => {
      const isAnswer = prng.below(2) === 0;
      const other = 1 + prng.below(2);
      const ms = drawOutageMs(prng);
      return { kind: "cut-one-way", host: isAnswer ? 0 : other, to: isAnswer ? other : 0, ms };
    },
  },
  {
    weight: 1,
    value: (prng) => ({
      kind: "slow-link",
      latencyMs: drawMs(prng, 1, 20),
      ms: drawMs(prng, 5, 50),
    }),
  },
];

export const DISK_FAULTS: readonly Weighted<DrawFault>[] = [
  {
    weight: 2,
    value: (prng, sectors) => {
      const on = prng.pick<DiskOperation>(["read", "write", "sync", "sync", "zero"]);
      const first = prng.below(prng.pick([16, sectors]));
      const count = 1 + prng.below(16);
      const ms = drawMs(prng, 1, 20);
      return { kind: "disk-error", host: drawHost(prng), on, first, count, times: 1, ms };
    },
  },
  {
    weight: 4,
    value: (prng) => {
      const on = prng.pick<DiskOperation>(["read", "write", "write", "sync", "zero"]);
      const times = 1 + prng.below(3);
      return { kind: "disk-hang", host: drawHost(prng), on, times, ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 1,
    value: (prng) => {
      const delayMs = drawMs(prng, 1, 10);
      return {
        kind: "disk-slow",
        host: drawHost(prng),
        delayMs,
        times: 4,
        ms: drawMs(prng, 1, 10),
      };
    },
  },
];

const REMOTE_FAULTS: readonly Weighted<DrawFault>[] = [
  ...NETWORK_FAULTS,
  ...DISK_FAULTS,
  {
    weight: 6,
    value: (prng) => ({ kind: "kill", process: drawHost(prng), ms: drawOutageMs(prng) }),
  },
  {
    weight: 5,
    value: (prng) => {
      const keep = prng.pick([-1, -1, 0, 1, 0.5]);
      return { kind: "power-loss", host: drawHost(prng), keep, ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng) => ({ kind: "pause", process: drawHost(prng), ms: drawOutageMs(prng) }),
  },
  {
    weight: 1,
    value: (prng) => ({
      kind: "disk-full",
      host: 0,
      pages: prng.below(4),
      ms: drawMs(prng, 2, 20),
    }),
  },
  { weight: 1, value: () => ({ kind: "drop-cache", host: 0 }) },
  {
    weight: 1,
    value: (prng) => ({ kind: "clock-jump", process: prng.below(3), ms: drawMs(prng, 1, 10_000) }),
  },
  { weight: 1, value: (prng) => ({ kind: "event", name: "reopen", target: prng.below(2), ms: 0 }) },
];

class RemoteStage implements Stage {
  readonly #run: Run;
  readonly #history: History;
  readonly #target: RemoteTarget;
  readonly #initiators: readonly RemoteInitiator[];

  constructor(run: Run, protocol: RemoteProtocol) {
    this.#run = run;
    const { schedule, world } = run;
    const setting = (name: string): number => settingOf(schedule, name);
    world.fake.network.socketBufferBytes = SOCKET_BUFFER_BYTES;
    const initiators = setting("initiators");
    const isOrderly = setting("orderly") === 1;
    const sectorCount = setting("sectors");
    const lyingFlush = setting("lyingFlush") === 1;
    const failFast = setting("failFast") === 1;
    const repeats = initiators > 1 || !isOrderly;
    // A source in memory lends it to replies, which may be overtaken by a write.
    const tears = setting("malloc") === 1;
    this.#history = run.history({ sectorCount, flushLies: lyingFlush, repeats, tears });
    const target = new RemoteTarget(run, {
      host: "target",
      source: setting("malloc") === 1 ? "malloc" : "file",
      sectorCount,
      blockSectors: setting("blockSectors"),
      direct: setting("direct") === 1,
      history: this.#history,
      serve: (reactor, device, address) => protocol.serve(reactor, device, address),
    });
    this.#target = target;
    this.#initiators = Array.from({ length: initiators }, (_, index) => {
      return new RemoteInitiator(run, {
        host: `host${index + 1}`,
        target,
        history: this.#history,
        clients: setting("clients"),
        inFlight: setting("inFlight"),
        failFast,
        rideOutMs: setting("rideOutMs"),
        isOrderly,
        open: (reactor, openingId) =>
          protocol.open(reactor, target.address, {
            openingId,
            connections: Math.max(1, setting("connections")),
            failFast,
            timeoutMs: Math.max(TIMEOUT_MS_MIN, setting("timeoutMs")),
            rideOutMs: failFast ? 0 : setting("rideOutMs"),
            connectTimeoutMs: Math.min(2000, 10 * Math.max(TIMEOUT_MS_MIN, setting("timeoutMs"))),
          }),
      });
    });
    world.onPowerLoss = (host) => {
      if (host === target.host) target.powerLost();
    };
    world.onCacheDrop = (host) => {
      if (host === target.host) this.#history.dropCache();
    };
    for (const { process } of [target, ...this.#initiators]) process.start();
  }

  event(step: EventStep): boolean {
    const { length } = this.#initiators;
    return step.name === "reopen" && this.#initiators[step.target % length]?.reopen() === true;
  }

  mend(): void {
    for (const initiator of this.#initiators) initiator.mend();
  }

  isReady(): boolean {
    return this.#target.isReady && this.#initiators.every(({ isReady }) => isReady);
  }

  /** What is flushed outlives a loss of power that takes all it may. */
  async examine(): Promise<void> {
    const [client] = this.#initiators.flatMap(({ clients }) => clients);
    if (client === undefined) return;
    client.submit({ kind: "flush", first: 0, count: 0 });
    if (!(await this.#run.quiet())) return;
    this.#run.world.losePower(this.#target.host, 0, 1);
    if (!(await this.#run.ready(this))) return;
    await this.#run.readBack(client, this);
  }
}
