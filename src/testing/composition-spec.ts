/**
 * Random compositions of stages, and programs to run on them, as plain values: drawn and shrunk
 * by fast-check, printed and read back as JSON. Pure.
 *
 * Files get their names, exports their ports, when a composition is opened (composition-rig.ts).
 */

import fc from "fast-check";
import { CHILDREN_MAX } from "../nexus/child.ts";
import { READ_POLICIES, type ReadPolicy } from "../nexus/read-policy.ts";
import { FILTERS } from "../pipe/registry.ts";
import type { Tearing } from "./sector-model.ts";

export type BlockSize = 512 | 4096;

/** Sizes and places of slices are counted in these, so that everything fits on everything. */
export const UNIT_BYTES = 4096;
const MIB = 2 ** 20;

export interface LeafSpec {
  readonly source: "malloc" | "null" | "file" | "direct";
  readonly units: number;
  readonly blockSize: BlockSize;
}
export interface ServedSpec {
  readonly source: "nbd" | "nbd+unix" | "nvmf";
  /** The export is served by another reactor. */
  readonly isApart: boolean;
  readonly connections: number;
  /** What is exported. */
  readonly backing: BranchSpec;
}
export interface MirrorSpec {
  readonly source: "mirror";
  readonly read: ReadPolicy;
  readonly legs: readonly BranchSpec[];
}
export type SourceSpec = LeafSpec | ServedSpec | MirrorSpec;

/** `text` as it stands in the pipe, but for slices: these are cut from what is below. */
export type FilterSpec =
  | { readonly text: string }
  | { readonly skipUnits: number; readonly dropUnits: number };

export interface BranchSpec {
  readonly source: SourceSpec;
  readonly filters: readonly FilterSpec[];
}

export const OPERATION_KINDS = [
  "read",
  "write",
  "flush",
  "discard",
  "writeZeroes",
  "compare",
  "compareAndWrite",
  "blockStatus",
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export interface OperationSpec {
  readonly kind: OperationKind;
  /** Blocks from a third of the device; what goes beyond its end starts again. */
  readonly third: number;
  readonly block: number;
  readonly blocks: number;
  /** Segments, and where the first byte of each lies within a page. */
  readonly parts: number;
  readonly skew: number;
  /** `RequestFlag` bits; those that the operation does not have are left out. */
  readonly flags: number;
  /** Of compares: the byte that is wrong, modulo the length; null: none. */
  readonly miss: number | null;
  /** Through the tap, if there is one. */
  readonly isTapped: boolean;
}

export type PlumbingSpec =
  | { readonly act: "insert" | "change"; readonly at: number; readonly text: string }
  | { readonly act: "remove"; readonly at: number }
  | { readonly act: "wait"; readonly ms: number };

/** Lanes run at once, the operations of one lane one after the other. Then all is quiet. */
export interface BatchSpec {
  readonly lanes: readonly (readonly OperationSpec[])[];
  readonly plumbing: readonly PlumbingSpec[];
}

export interface ProgramSpec {
  /** Of the world that it runs in. */
  readonly seed: number;
  readonly root: BranchSpec;
  /** A second pipe reads the root's stage of this number, modulo their count. */
  readonly tap: { readonly stage: number; readonly filters: readonly FilterSpec[] } | null;
  /** Requests can leave their memory to a hung leg. */
  readonly pinsMemory: boolean;
  /** Reads ask for lent memory where it is to be had. */
  readonly lends: boolean;
  /** Everything is written once before it begins. */
  readonly isFilled: boolean;
  /** The reactor has little more memory than what its stages set aside. */
  readonly isTight: boolean;
  readonly batches: readonly BatchSpec[];
}

/** Names of environment variables; their values are made up by the rig. */
export const KEY_NAMES = ["PENSTOCK_COMPOSITION_KEY_A", "PENSTOCK_COMPOSITION_KEY_B"] as const;

/** Filters that keep size and data, with settings that do nothing or only take time. */
const PASSING = [
  "limit?iops=50000",
  "limit?iops=20000&write-bandwidth=512MiB&burst=10ms",
  "limit?bandwidth=1GiB",
  "delay?time=0ms",
  "delay?write=1ms&jitter=1ms",
  "delay?write=3ms&jitter=3ms",
  "delay?read=1ms&flush=1ms",
  "log?level=off",
  "log?level=all&slow=1h",
  "fault?all=off",
  "fault?all=error&enabled=false",
  "fault?read=corrupt&write=torn&probability=0",
].filter((text) => FILTERS.some(({ name }) => name === nameOf(text)));

/** The filter's name. */
export function nameOf(text: string): string {
  return text.replace(/\?.*/, "");
}

const passing = fc.constantFrom(...PASSING);
const passingFilter: fc.Arbitrary<FilterSpec> = passing.map((text) => ({ text }));

const cryptFilter: fc.Arbitrary<FilterSpec> = fc
  .record({
    key: fc.constantFrom(...KEY_NAMES),
    sectors: fc.constantFrom(
      "sector=512",
      "sector=4096",
      "sector=4096&iv-large-sectors=1",
      "sector=4096&skip=1MiB",
    ),
    discard: fc.constantFrom("", "&discard=refuse"),
  })
  .map(({ key, sectors, discard }) => ({ text: `crypt?key=env:${key}&${sectors}${discard}` }));

const sliceFilter: fc.Arbitrary<FilterSpec> = fc.record({
  skipUnits: fc.nat({ max: 5 }),
  dropUnits: fc.nat({ max: 5 }),
});

const filter = fc.oneof(
  { weight: 3, arbitrary: passingFilter },
  { weight: 1, arbitrary: cryptFilter },
  { weight: 1, arbitrary: sliceFilter },
);

const leaf: fc.Arbitrary<SourceSpec> = fc.record({
  source: fc.constantFrom("malloc", "file", "direct"),
  // Slices leave something of the smallest; more than maxTransfer in the largest.
  units: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(40, 41, 65) },
    { weight: 1, arbitrary: fc.constantFrom(300, 513) },
  ),
  blockSize: fc.constantFrom<BlockSize[]>(512, 4096),
});

/** Of a mirror: of unlike speed, so that changes are done on one leg and not on another. */
function slowLeg(branch: fc.Arbitrary<BranchSpec>): fc.Arbitrary<BranchSpec> {
  const slowed = (delay: FilterSpec | null, { source, filters }: BranchSpec): BranchSpec => ({
    source,
    filters: delay === null ? filters : [...filters, delay],
  });
  const delay = fc.constantFrom(null, { text: "delay?write=2ms&jitter=2ms" });
  return fc.tuple(delay, branch).map(([text, leg]) => slowed(text, leg));
}

const { branch } = fc.letrec<{ branch: BranchSpec; source: SourceSpec }>((tie) => ({
  branch: fc.record({
    source: tie("source"),
    filters: fc.array(filter, { maxLength: 3, size: "max" }),
  }),
  source: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    { weight: 2, arbitrary: leaf },
    {
      weight: 2,
      arbitrary: fc.record({
        source: fc.constant("mirror" as const),
        read: fc.constantFrom(...READ_POLICIES),
        legs: fc.array(slowLeg(tie("branch")), {
          minLength: 1,
          maxLength: Math.min(3, CHILDREN_MAX),
        }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        source: fc.constantFrom("nbd", "nbd+unix", "nvmf"),
        isApart: fc.boolean(),
        connections: fc.constantFrom(1, 3),
        backing: tie("branch"),
      }),
    },
  ),
}));

/** Reads zeroes whatever is written: over it only what keeps zeroes. */
const forgetful: fc.Arbitrary<BranchSpec> = fc.record({
  source: fc.record({
    source: fc.constant("null" as const),
    units: fc.constantFrom(40, 513),
    blockSize: fc.constantFrom<BlockSize[]>(512, 4096),
  }),
  filters: fc.array(fc.oneof(passingFilter, sliceFilter), { maxLength: 3 }),
});
const forgetfulRoot: fc.Arbitrary<BranchSpec> = fc.oneof(
  forgetful,
  fc.record({
    source: fc.record({
      source: fc.constant("mirror" as const),
      read: fc.constantFrom(...READ_POLICIES),
      legs: fc.array(forgetful, { minLength: 1, maxLength: 2 }),
    }),
    filters: fc.array(passingFilter, { maxLength: 1 }),
  }),
  fc.record({
    source: fc.record({
      source: fc.constant("nbd" as const),
      isApart: fc.boolean(),
      connections: fc.constantFrom(1, 3),
      backing: forgetful,
    }),
    filters: fc.array(passingFilter, { maxLength: 1 }),
  }),
);

const COMMON_KINDS: readonly OperationKind[] = [
  "read",
  "read",
  "read",
  "write",
  "write",
  "compareAndWrite",
];

const operation: fc.Arbitrary<OperationSpec> = fc.record({
  kind: fc.constantFrom(...OPERATION_KINDS, ...COMMON_KINDS),
  // Mostly near each other, so that they overlap.
  third: fc.constantFrom(0, 0, 0, 0, 1, 2),
  block: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 3 }) },
    { weight: 1, arbitrary: fc.nat({ max: 20 }) },
  ),
  blocks: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 12 }) },
    { weight: 1, arbitrary: fc.constantFrom(33, 256, 2048, 4096) },
  ),
  parts: fc.constantFrom(1, 1, 2, 3, 8),
  skew: fc.constantFrom(0, 0, 512, 28),
  flags: fc.constantFrom(0, 0, 1, 2, 4, 3, 5),
  miss: fc.option(fc.nat({ max: 1 << 20 }), { freq: 3 }),
  isTapped: fc.boolean(),
});

const at = fc.nat({ max: 30 });
const plumbing: fc.Arbitrary<PlumbingSpec> = fc.oneof(
  fc.record({ act: fc.constant("insert" as const), at, text: passing }),
  fc.record({ act: fc.constant("remove" as const), at }),
  fc.record({ act: fc.constant("change" as const), at, text: passing }),
  fc.record({ act: fc.constant("wait" as const), ms: fc.nat({ max: 2 }) }),
);

const batch: fc.Arbitrary<BatchSpec> = fc.record({
  lanes: fc.array(fc.array(operation, { minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 5,
  }),
  plumbing: fc.array(plumbing, { maxLength: 3 }),
});

export const programArbitrary: fc.Arbitrary<ProgramSpec> = fc.record({
  seed: fc.nat({ max: 2 ** 31 - 1 }),
  root: fc.oneof({ weight: 12, arbitrary: branch }, { weight: 1, arbitrary: forgetfulRoot }),
  tap: fc.option(
    fc.record({ stage: fc.nat({ max: 4 }), filters: fc.array(passingFilter, { maxLength: 1 }) }),
    { freq: 2 },
  ),
  pinsMemory: fc.boolean(),
  lends: fc.boolean(),
  isFilled: fc.boolean(),
  isTight: fc.boolean(),
  batches: fc.array(batch, { minLength: 1, maxLength: 6, size: "max" }),
});

/** Bytes of buffers that the reactor may have; undefined: as many as usual. */
export function bufferLimitOf({ isTight, root }: ProgramSpec): number | undefined {
  return isTight ? Math.ceil(1 + reservesOf(root)) * MIB : undefined;
}

/** In largest buffers, about: what the stages of a branch set aside. */
function reservesOf({ source, filters }: BranchSpec): number {
  const own = filters.filter(isCrypt).length / 8;
  if ("legs" in source) return own + 1 + sumOf(source.legs.map(reservesOf));
  return "backing" in source ? own + 3 + reservesOf(source.backing) : own + 1 / 32;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}

/** Of a branch's top. */
export function unitsOf({ source, filters }: BranchSpec): number {
  return filters.reduce(
    (units, filter) => ("text" in filter ? units : units - filter.skipUnits - filter.dropUnits),
    unitsOfSource(source),
  );
}

function unitsOfSource(source: SourceSpec): number {
  if ("legs" in source) return Math.min(...source.legs.map(unitsOf));
  return "backing" in source ? unitsOf(source.backing) : source.units;
}

/** True: what was never written is zeroes. */
export function startsZeroed({ source, filters }: BranchSpec): boolean {
  if (filters.some(isCrypt)) return false;
  if ("legs" in source) return source.legs.every(startsZeroed);
  return !("backing" in source) || startsZeroed(source.backing);
}

/** True: what is written is kept when all is closed and opened again. */
export function outlivesClosing({ source }: BranchSpec): boolean {
  if ("legs" in source) return source.legs.every(outlivesClosing);
  // What is exported stays open.
  return "backing" in source || source.source === "file" || source.source === "direct";
}

export function forgets({ source }: BranchSpec): boolean {
  if ("legs" in source) return source.legs.some(forgets);
  return "backing" in source ? forgets(source.backing) : source.source === "null";
}

/**
 * What reads may get of a sector that is being written. Page caches are copied from while they are
 * copied to; so is memory that `malloc` lends to an NBD share, until it is sent.
 */
export function tearingOf(branch: BranchSpec, hasPageCache: boolean): Tearing {
  if (!hasPageCache && !servesLent(branch)) return "never";
  return encrypts(branch) ? "noise" : "mixed";
}

function servesLent({ source }: BranchSpec): boolean {
  if ("legs" in source) return source.legs.some(servesLent);
  if (!("backing" in source)) return false;
  const { backing } = source;
  const isMemory = "units" in backing.source && backing.source.source === "malloc";
  return servesLent(backing) || (isMemory && !backing.filters.some(isCrypt));
}

function encrypts({ source, filters }: BranchSpec): boolean {
  if (filters.some(isCrypt)) return true;
  if ("legs" in source) return source.legs.some(encrypts);
  return "backing" in source && encrypts(source.backing);
}

function isCrypt(filter: FilterSpec): boolean {
  return "text" in filter && nameOf(filter.text) === "crypt";
}

/** It changes size or data. */
export function isFixed(filter: FilterSpec): boolean {
  return !("text" in filter) || isCrypt(filter);
}

/** Filters that a composition can have, by name. */
export const FILTER_NAMES: ReadonlySet<string> = new Set([
  ...PASSING.map(nameOf),
  "crypt",
  "slice",
]);
export const SOURCE_NAMES: ReadonlySet<string> = new Set([
  "file",
  "malloc",
  "null",
  "nbd",
  "nbd+unix",
  "nvmf",
  "tap",
  "mirror",
]);
