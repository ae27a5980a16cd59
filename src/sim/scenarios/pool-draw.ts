/** Schedules of the scenario `pool`: what may happen in each of its modes. Pure. */

import { Prng } from "../../util/prng.ts";
import { drawMs, drawProgram, type DrawnFault, pickWeighted, type Weighted } from "../draw.ts";
import type { DiskOperation, EventStep, Schedule, Step } from "../schedule.ts";
import { volumeSectors } from "./pool-slots.ts";

const KINDS = [
  { weight: 26, value: "read" },
  { weight: 42, value: "write" },
  { weight: 7, value: "flush" },
  { weight: 8, value: "discard" },
  { weight: 6, value: "zeroes" },
  { weight: 4, value: "compare" },
  { weight: 7, value: "compare-and-write" },
] as const;

/** What may go wrong in a run. */
export const POOL_MODES = ["kill", "power", "disk", "rot", "tight", "lie"] as const;
export type PoolMode = (typeof POOL_MODES)[number];

/** A schedule in which only that may happen which `mode` says. */
export function drawPool(seed: number, mode: PoolMode): Schedule {
  const prng = new Prng(`pool ${seed}`);
  const volumes = 1 + prng.below(4);
  const isTight = mode === "tight" || prng.below(6) === 0;
  // Writing it full takes time.
  const isFilled = isTight && prng.below(3) === 0;
  const settings = {
    volumes,
    disks: isFilled ? 1 : 1 + prng.below(3),
    clients: volumes * (1 + prng.below(2)),
    sectors: prng.pick(isFilled ? [256, 2048] : [64, 256, 256, 2048]),
    chunkKib: prng.pick([64, 256, 1024, 4096]),
    // With the larger ones the log goes round.
    blockSectors: prng.pick([1, 8]),
    direct: prng.pick([0, 0, 1]),
    cacheKib: prng.pick([64, 96, 128, 256, 1024]),
    tight: isTight ? 1 : 0,
    filled: isFilled ? 1 : 0,
    leftKib: prng.pick([16, 128, 512, 2048]),
    propertyBytes: prng.pick([700, 700, 7000, 20_000]),
    crashPercent: prng.pick([0, 40, 80]),
    lies: mode === "lie" ? 1 : 0,
  };
  const program = drawProgram(prng, {
    clients: settings.clients,
    sectors: settings.sectors,
    // Large ones soon go round in what is left.
    countMax: prng.pick(isFilled ? [256] : [16, 64, 256]),
    kinds: KINDS,
    fuaChance: 0.1,
    operations: 1200,
    faults: 36 + prng.below(16),
    paceMs: prng.pick([0.2, 0.5, 1]),
    drawFault: (fork) => pickWeighted(fork, FAULTS[mode])(fork, settings.disks),
  });
  const chance = settings.crashPercent / 100;
  const steps = program.flatMap((step) => crowd(prng, step, { mode, chance, ...settings }));
  return { scenario: "pool", seed, settings, steps };
}

interface CrowdOptions {
  readonly mode: PoolMode;
  readonly chance: number;
  readonly disks: number;
  readonly sectors: number;
}

/** A crash soon after what changes the pool, and reads that fail soon after a crash. */
function crowd(prng: Prng, step: Step, options: CrowdOptions): Step[] {
  const { mode, chance, disks, sectors } = options;
  const isCrash = step.kind === "kill" || step.kind === "power-loss";
  if (step.kind === "disk-hang" && step.on === "read") return [step, ...race(prng)];
  const isTorn = CRASHES[mode].includes(TORN) && prng.chance(chance);
  if (step.kind === "event" && step.name === "resize" && isTorn) return tear(prng, step, sectors);
  if (step.kind === "event" && CHANGES.has(step.name) && prng.chance(chance)) {
    const crash = pickWeighted(prng, CRASHES[mode])(prng, disks);
    return [step, { at: drawMs(prng, 0, prng.pick([1, 4, 12])), ...crash } as Step];
  }
  if (mode !== "disk" || !isCrash || !prng.chance(chance)) return [step];
  // Of all disks, so that no other copy of a page can be read.
  const [times, ms] = [2 + prng.below(8), drawMs(prng, 1, 40)];
  const at = drawMs(prng, 0, prng.pick([4, 16]));
  const errors = Array.from({ length: disks }, (_, disk): Step => {
    const error = { kind: "disk-error", host: 0, disk, on: "read", ...BEHIND_LOG } as const;
    return { at: disk === 0 ? at : 0, ...error, times, ms };
  });
  return [step, ...errors];
}

/** Power is lost as a volume is cut within a block that has content. */
function tear(prng: Prng, step: EventStep, sectors: number): Step[] {
  const first = Math.max(volumeSectors(sectors, step.ms) - 4, 0);
  const count = Math.min(8, sectors - first);
  const crash = TORN.value(prng, 1);
  return [
    { at: step.at, kind: "write", client: step.target, first, count, fua: 1 },
    { ...step, at: 5 },
    { at: drawMs(prng, 1, 7), ...crash } as Step,
  ];
}

/** A read, and what frees its blocks for good while it is under way. */
function race(prng: Prng): Step[] {
  const client = prng.below(8);
  const range = { client, first: 8 * prng.below(4), count: 8 };
  const frees = prng.pick(["discard", "zeroes", "write"] as const);
  return [
    { at: 0, kind: "write", ...range, fua: 1 },
    { at: 3, kind: "read", ...range },
    { at: 0.2, kind: frees, ...range },
    { at: 0.5, kind: "flush", client, first: 0, count: 0 },
  ];
}

type DrawFault = (prng: Prng, disks: number) => DrawnFault;
type WeightedFault = Weighted<DrawFault>;

function event(name: string, weight: number): WeightedFault {
  return {
    weight,
    value: (prng) => ({ kind: "event", name, target: prng.below(4), ms: prng.below(1000) }),
  };
}

/** What a crash may find half done. */
const CHANGES: ReadonlySet<string> = new Set([
  "create",
  "delete",
  "replace",
  "resize",
  "properties",
  "add-disk",
  "grow",
  "checkpoint",
  "export",
  "lie",
]);

const EVENTS: readonly WeightedFault[] = [
  event("create", 4),
  event("delete", 4),
  event("replace", 4),
  event("resize", 9),
  event("properties", 3),
  event("pool-properties", 1),
  event("add-disk", 1),
  event("grow", 2),
  event("checkpoint", 5),
  event("scrub", 1),
  event("export", 2),
  event("close", 1),
];

const KILLS: readonly WeightedFault[] = [
  { weight: 6, value: (prng) => ({ kind: "kill", process: 0, ms: drawMs(prng, 0, 4) }) },
  { weight: 1, value: (prng) => ({ kind: "pause", process: 0, ms: drawMs(prng, 0, 5) }) },
  {
    weight: 1,
    value: (prng) => ({ kind: "clock-jump", process: 0, ms: drawMs(prng, 1, 10_000) }),
  },
];

const POWER: readonly WeightedFault[] = [
  {
    weight: 6,
    value: (prng) => {
      const keep = prng.pick([-1, -1, 0, 1, 0.5]);
      return { kind: "power-loss", host: 0, keep, ms: drawMs(prng, 0, 4) };
    },
  },
];

/** Sectors of the first disk. */
const DISK_SECTORS = 65_536;
/** Labels and log can be read: the trees cannot. */
const BEHIND_LOG = { first: 2304, count: DISK_SECTORS - 2304 } as const;

/** Reads meet what comes after them. */
const SLOW_READS: readonly WeightedFault[] = [
  {
    weight: 3,
    value: (prng, disks) => {
      const [disk, times] = [prng.below(disks), 1 + prng.below(4)];
      const ms = drawMs(prng, 1, prng.pick([8, 30, 60]));
      return { kind: "disk-hang", host: 0, disk, on: "read", times, ms };
    },
  },
];

const DISKS: readonly WeightedFault[] = [
  {
    weight: 7,
    value: (prng, disks) => {
      const on = prng.pick<DiskOperation>(["read", "write", "write", "sync", "sync", "zero"]);
      const disk = prng.below(disks);
      const times = 1 + prng.below(2);
      const ms = drawMs(prng, 1, 20);
      return { kind: "disk-error", host: 0, disk, on, first: 0, count: DISK_SECTORS, times, ms };
    },
  },
  {
    weight: 3,
    value: (prng, disks) => {
      const on = prng.pick<DiskOperation>(["read", "write", "sync", "zero"]);
      const [disk, times] = [prng.below(disks), 1 + prng.below(3)];
      return { kind: "disk-hang", host: 0, disk, on, times, ms: drawMs(prng, 1, 15) };
    },
  },
  {
    weight: 1,
    value: (prng, disks) => {
      const [disk, delayMs] = [prng.below(disks), drawMs(prng, 1, 10)];
      return { kind: "disk-slow", host: 0, disk, delayMs, times: 4, ms: drawMs(prng, 1, 10) };
    },
  },
  {
    weight: 2,
    value: (prng) => {
      return { kind: "disk-full", host: 0, pages: prng.below(24), ms: drawMs(prng, 2, 20) };
    },
  },
  { weight: 1, value: (prng, disks) => ({ kind: "drop-cache", host: 0, disk: prng.below(disks) }) },
];

/** Where labels, the log and the first chunks are: the rest of the disks is hardly used. */
const ROT_SPACES = [128, 4096, 8192, 8192] as const;

const ROT: readonly WeightedFault[] = [
  {
    weight: 10,
    value: (prng, disks) => {
      const first = prng.below(prng.pick(ROT_SPACES));
      return { kind: "rot", host: 0, disk: prng.below(disks), first, count: 1 };
    },
  },
];

const COMMON = [...EVENTS, ...KILLS, ...SLOW_READS];

const FAULTS: Readonly<Record<PoolMode, readonly WeightedFault[]>> = {
  kill: COMMON,
  power: [...COMMON, ...POWER],
  disk: [...COMMON, ...POWER, ...DISKS],
  rot: [...COMMON, ...ROT],
  tight: [...COMMON, ...POWER],
  lie: [...COMMON, ...POWER, event("lie", 6)],
};

const CRASH = KILLS.slice(0, 1);
/** Something of what was on its way is there, and something is not. */
const TORN: WeightedFault = {
  weight: 12,
  value: (prng) => {
    const keep = prng.pick([0.3, 0.6, 0.8, 0.9, 0.95]);
    return { kind: "power-loss", host: 0, keep, ms: drawMs(prng, 0, 4) };
  },
};

const CRASHES: Readonly<Record<PoolMode, readonly WeightedFault[]>> = {
  kill: CRASH,
  power: [...CRASH, ...POWER, TORN],
  disk: [...CRASH, ...POWER, TORN],
  rot: CRASH,
  tight: [...CRASH, ...POWER, TORN],
  lie: [...CRASH, ...POWER, TORN],
};
