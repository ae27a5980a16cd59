/**
 * Scenario `mirror`: clients on a mirror over files behind NBD on other hosts, and at times one of
 * its own. Legs are killed, hung, slow, cut off and without power; so is the mirror's own host.
 *
 * Safety rules 5, 6, 7 and 10: whenever the mirror is closed its legs in sync must hold the same,
 * and what was acknowledged outlives every leg but one.
 */

import { Prng } from "../../util/prng.ts";
import { drawMs, drawProgram, type DrawnFault, pickWeighted, type Weighted } from "../draw.ts";
import type { Run, Scenario, Stage } from "../run.ts";
import { type DiskOperation, type EventStep, type Schedule, settingOf } from "../schedule.ts";
import { MirrorNexus } from "./mirror-nexus.ts";
import { NBD_PROTOCOL } from "./nbd.ts";
import { drawOutageMs, SOCKET_BUFFER_BYTES, TIMEOUT_MS_MIN } from "./remote.ts";
import { RemoteTarget } from "./remote-target.ts";

const KINDS = [
  { weight: 30, value: "read" },
  { weight: 42, value: "write" },
  { weight: 8, value: "flush" },
  { weight: 4, value: "discard" },
  { weight: 5, value: "zeroes" },
  { weight: 4, value: "compare" },
  { weight: 7, value: "compare-and-write" },
] as const;

export const MIRROR_SCENARIO: Scenario = {
  name: "mirror",
  about: "a mirror over NBD children and files: killed, hung, cut off and restarted legs",
  draw,
  start: (run) => new MirrorStage(run),
};

function draw(seed: number): Schedule {
  const prng = new Prng(`mirror ${seed}`);
  const remote = prng.pick([1, 2, 2, 3]);
  const local = remote === 1 ? 1 : prng.below(2);
  const settings = {
    remote,
    local,
    clients: 1 + prng.below(3),
    inFlight: prng.pick([2, 6, 10]),
    sectors: prng.pick([64, 128, 256]),
    connections: prng.pick([1, 2]),
    leastLoaded: prng.below(2),
    childTimeoutMs: prng.pick([20, 100, 500]),
    timeoutMs: prng.pick([30, 100, 1000]),
    decisionMs: prng.pick([0, 1, 5]),
  };
  const faults = { remote, sectors: settings.sectors };
  const steps = drawProgram(prng, {
    clients: settings.clients,
    sectors: settings.sectors,
    countMax: 64,
    kinds: KINDS,
    fuaChance: 0.15,
    operations: 400,
    faults: 11 + prng.below(8),
    paceMs: prng.pick([0.5, 2, 4]),
    drawFault: (fork) => pickWeighted(fork, FAULTS)(fork, faults),
  });
  return { scenario: "mirror", seed, settings, steps };
}

interface FaultOptions {
  /** Legs on other hosts: hosts and processes from 0 on; the mirror's own is behind them. */
  readonly remote: number;
  readonly sectors: number;
}

type DrawFault = (prng: Prng, options: FaultOptions) => DrawnFault;

/** Mostly a leg. */
function drawHost(prng: Prng, { remote }: FaultOptions): number {
  return prng.below(5) === 0 ? remote : prng.below(remote);
}

const FAULTS: readonly Weighted<DrawFault>[] = [
  { weight: 4, value: (prng) => ({ kind: "reset", connection: prng.below(6) }) },
  {
    weight: 5,
    value: (prng) => {
      const connection = prng.below(6);
      return { kind: "stall", connection, way: prng.below(3), ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng, { remote }) => {
      return { kind: "cut", host: prng.below(remote), to: remote, ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng, { remote }) => {
      const leg = prng.below(remote);
      const [host, to] = prng.below(2) === 0 ? [leg, remote] : [remote, leg];
      return { kind: "cut-one-way", host, to, ms: drawOutageMs(prng) };
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
  {
    weight: 4,
    value: (prng, options) => {
      const ms = drawOutageMs(prng);
      return { kind: "kill", process: drawHost(prng, options), ms };
    },
  },
  {
    weight: 3,
    value: (prng, options) => {
      const keep = prng.pick([-1, -1, 0, 1, 0.5]);
      return { kind: "power-loss", host: drawHost(prng, options), keep, ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng, options) => {
      return { kind: "pause", process: drawHost(prng, options), ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 3,
    value: (prng, options) => {
      const on = prng.pick<DiskOperation>(["read", "write", "sync", "zero"]);
      const first = prng.below(prng.pick([16, options.sectors]));
      const count = 1 + prng.below(16);
      const host = drawHost(prng, options);
      return { kind: "disk-error", host, on, first, count, times: 1, ms: drawMs(prng, 1, 20) };
    },
  },
  {
    weight: 5,
    value: (prng, options) => {
      const on = prng.pick<DiskOperation>(["read", "write", "write", "sync", "zero"]);
      const times = 1 + prng.below(3);
      const host = drawHost(prng, options);
      return { kind: "disk-hang", host, on, times, ms: drawOutageMs(prng) };
    },
  },
  {
    weight: 1,
    value: (prng, options) => {
      const delayMs = drawMs(prng, 1, 10);
      const host = drawHost(prng, options);
      return { kind: "disk-slow", host, delayMs, times: 4, ms: drawMs(prng, 1, 10) };
    },
  },
  {
    weight: 1,
    value: (prng, options) => {
      return { kind: "clock-jump", process: drawHost(prng, options), ms: drawMs(prng, 1, 10_000) };
    },
  },
  { weight: 5, value: () => ({ kind: "event", name: "remake", target: 0, ms: 0 }) },
];

class MirrorStage implements Stage {
  readonly #targets: readonly RemoteTarget[];
  readonly #nexus: MirrorNexus;

  constructor(run: Run) {
    const { schedule, world } = run;
    const setting = (name: string): number => settingOf(schedule, name);
    world.fake.network.socketBufferBytes = SOCKET_BUFFER_BYTES;
    const sectorCount = setting("sectors");
    this.#targets = Array.from({ length: setting("remote") }, (_, index) => {
      return new RemoteTarget(run, {
        host: `leg${index + 1}`,
        source: "file",
        sectorCount,
        blockSectors: 1,
        direct: false,
        history: null,
        serve: (reactor, device, address) => NBD_PROTOCOL.serve(reactor, device, address),
      });
    });
    this.#nexus = new MirrorNexus(run, {
      host: "nexus",
      targets: this.#targets,
      hasLocal: setting("local") === 1,
      sectorCount,
      clients: setting("clients"),
      inFlight: setting("inFlight"),
      readPolicy: setting("leastLoaded") === 1 ? "least-loaded" : "local",
      childTimeoutMs: Math.max(TIMEOUT_MS_MIN, setting("childTimeoutMs")),
      decisionMs: setting("decisionMs"),
      open: (reactor, target, openingId) =>
        NBD_PROTOCOL.open(reactor, target.address, {
          openingId,
          connections: Math.max(1, setting("connections")),
          failFast: true,
          timeoutMs: Math.max(TIMEOUT_MS_MIN, setting("timeoutMs")),
          rideOutMs: 0,
          connectTimeoutMs: 50,
        }),
    });
    world.onPowerLoss = (host) => {
      this.#targets.find((target) => target.host === host)?.powerLost();
      this.#nexus.powerLost(host);
    };
    for (const { process } of [...this.#targets, this.#nexus]) process.start();
  }

  event(step: EventStep): boolean {
    return step.name === "remake" && this.#nexus.remake();
  }

  mend(): void {
    this.#nexus.mend();
  }

  isReady(): boolean {
    return this.#targets.every(({ isReady }) => isReady) && this.#nexus.isReady;
  }

  /** The legs hold the same: the mirror is made anew once more. */
  async examine(): Promise<void> {
    await this.#nexus.examine(this);
  }
}
