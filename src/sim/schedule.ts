/**
 * Schedule: everything that happens to a simulated world from outside, as plain JSON: settings and
 * a flat list of small steps. A run is a pure function of it (`runSchedule`).
 *
 * A step that makes no sense at its time (the kill of a dead process) does nothing, and faults end
 * by themselves after `ms`. So any subset of the steps is a valid schedule, which is what makes
 * failing ones easy to shrink.
 */

/** What a client asks of its device. Sectors have 512 bytes. */
export interface IoStep {
  /** Milliseconds since the step before. */
  readonly at: number;
  readonly kind: IoKind;
  /** Index of the client, modulo their number. */
  readonly client: number;
  readonly first: number;
  readonly count: number;
  /** 1: force unit access. */
  readonly fua?: number;
}

export const IO_KINDS = [
  "read",
  "write",
  "flush",
  "discard",
  "zeroes",
  "compare",
  "compare-and-write",
] as const;
export type IoKind = (typeof IO_KINDS)[number];

/**
 * What goes wrong. Indexes are taken modulo the number of such things in the world. `disk`: which
 * of the files on that host's disk; the first when it is not said.
 */
export type FaultStep = { readonly at: number } & (
  | { readonly kind: "kill"; readonly process: number; readonly ms: number }
  | { readonly kind: "pause"; readonly process: number; readonly ms: number }
  | { readonly kind: "clock-jump"; readonly process: number; readonly ms: number }
  /** `keep`: chance of each unflushed sector to be there, below 0: drawn by the world's seed. */
  | {
      readonly kind: "power-loss";
      readonly host: number;
      readonly keep: number;
      readonly ms: number;
    }
  | { readonly kind: "cut"; readonly host: number; readonly to: number; readonly ms: number }
  | {
      readonly kind: "cut-one-way";
      readonly host: number;
      readonly to: number;
      readonly ms: number;
    }
  | { readonly kind: "slow-link"; readonly latencyMs: number; readonly ms: number }
  | { readonly kind: "reset"; readonly connection: number }
  | {
      readonly kind: "stall";
      readonly connection: number;
      readonly way: number;
      readonly ms: number;
    }
  | {
      readonly kind: "disk-error";
      readonly host: number;
      readonly disk?: number;
      readonly on: DiskOperation;
      readonly first: number;
      readonly count: number;
      /** How many operations it strikes. */
      readonly times: number;
      readonly ms: number;
    }
  | {
      readonly kind: "disk-hang";
      readonly host: number;
      readonly disk?: number;
      readonly on: DiskOperation;
      readonly times: number;
      readonly ms: number;
    }
  | {
      readonly kind: "disk-slow";
      readonly host: number;
      readonly disk?: number;
      readonly delayMs: number;
      readonly times: number;
      readonly ms: number;
    }
  /** `pages` of 4 KiB are left. */
  | {
      readonly kind: "disk-full";
      readonly host: number;
      readonly pages: number;
      readonly ms: number;
    }
  /** The page cache lets go of what a failed sync could not write. */
  | { readonly kind: "drop-cache"; readonly host: number; readonly disk?: number }
  | {
      readonly kind: "rot";
      readonly host: number;
      readonly disk?: number;
      readonly first: number;
      readonly count: number;
    }
);

export type DiskOperation = "read" | "write" | "sync" | "zero";

/** What only one scenario knows: reopening, detaching, resizing. */
export interface EventStep {
  readonly at: number;
  readonly kind: "event";
  readonly name: string;
  readonly target: number;
  readonly ms: number;
}

export type Step = IoStep | FaultStep | EventStep;

export interface Schedule {
  readonly scenario: string;
  /** Of the world's timings and of all that it draws. */
  readonly seed: number;
  /** Of the scenario: topology, honest or lying flushes (0 or 1), sizes. */
  readonly settings: Readonly<Record<string, number>>;
  readonly steps: readonly Step[];
}

const IO_KIND_SET: ReadonlySet<string> = new Set(IO_KINDS);

export function isIoStep(step: Step): step is IoStep {
  return IO_KIND_SET.has(step.kind);
}

/** A setting's value. @throws Error when the schedule is not of this scenario */
export function settingOf(schedule: Schedule, name: string): number {
  const value = schedule.settings[name];
  if (value === undefined) throw new Error(`the schedule has no setting ${name}`);
  return value;
}

/** Reads a schedule from a file's text. @throws Error for what is none */
export function parseSchedule(text: string): Schedule {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("steps" in value)) {
    throw new Error("not a schedule: expected an object with steps");
  }
  return value as Schedule;
}

/** One line per step, as people read it and as it stands in a test. */
export function formatSchedule(schedule: Schedule): string {
  const { scenario, seed, settings, steps } = schedule;
  const lines = steps.map((step) => `  ${JSON.stringify(step)}`);
  const head = `"scenario":${JSON.stringify(scenario)},"seed":${seed}`;
  return `{${head},"settings":${JSON.stringify(settings)},"steps":[\n${lines.join(",\n")}\n]}\n`;
}
