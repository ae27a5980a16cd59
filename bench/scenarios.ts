/**
 * What is measured, as data: each source with each operation, and the limits that issue 2 sets.
 * Stateless.
 */

export type SourceName = "ram" | "tmpfs" | "file";

/** What a figure of Penstock's may be at most, as a multiple of the best peer's in the same run. */
export interface Limit {
  /** Server processor time per operation, or the client's median latency. */
  readonly figure: "cpu" | "p50";
  readonly ratioMax: number;
}

export interface Operation {
  readonly name: string;
  /** As fio spells it. */
  readonly rw: "randread" | "randwrite" | "read" | "write";
  readonly blockBytes: number;
  readonly depth: number;
  readonly limits: readonly Limit[];
}

export interface Scenario {
  /** `source/operation`, what --scenario is matched with. */
  readonly id: string;
  readonly source: SourceName;
  readonly operation: Operation;
}

export const SOURCE_TITLES: Readonly<Record<SourceName, string>> = {
  ram: "the server's own memory",
  tmpfs: "a file on tmpfs",
  file: "a cached file on disk",
};

const KIB = 1024;
const MIB = 1024 * KIB;

const RANDOM_READ_DEEP: readonly Limit[] = [{ figure: "cpu", ratioMax: 0.95 }];
const RANDOM_WRITE_DEEP: readonly Limit[] = [{ figure: "cpu", ratioMax: 1 }];
const SEQUENTIAL: readonly Limit[] = [{ figure: "cpu", ratioMax: 1.05 }];
const DEPTH_ONE: readonly Limit[] = [
  { figure: "p50", ratioMax: 0.6 },
  { figure: "cpu", ratioMax: 1 },
];

const OPERATIONS: readonly Operation[] = [
  operation("randread", 4 * KIB, 32, RANDOM_READ_DEEP),
  operation("randwrite", 4 * KIB, 32, RANDOM_WRITE_DEEP),
  operation("randread", 4 * KIB, 1, DEPTH_ONE),
  operation("randwrite", 4 * KIB, 1, DEPTH_ONE),
  operation("read", 128 * KIB, 8, SEQUENTIAL),
  operation("write", 128 * KIB, 8, SEQUENTIAL),
  operation("read", MIB, 4, SEQUENTIAL),
  operation("write", MIB, 4, SEQUENTIAL),
];

export const SCENARIOS: readonly Scenario[] = (Object.keys(SOURCE_TITLES) as SourceName[]).flatMap(
  (source) => OPERATIONS.map((each) => ({ id: `${source}/${each.name}`, source, operation: each })),
);

function operation(
  rw: Operation["rw"],
  blockBytes: number,
  depth: number,
  limits: readonly Limit[],
): Operation {
  const size = blockBytes >= MIB ? `${blockBytes / MIB}m` : `${blockBytes / KIB}k`;
  return { name: `${rw}-${size}-q${depth}`, rw, blockBytes, depth, limits };
}
