// Random programs on pools that are killed and lose power: everyday pools, full ones, tiny caches.

import { test } from "node:test";
import { withReactor } from "../reactor/test-reactor.ts";
import { PoolProgram, type ProgramOptions } from "../testing/pool-program.ts";
import { Prng } from "../util/prng.ts";

const MIB = 2 ** 20;
const IS_LONG = process.env.PENSTOCK_LONG === "1";
const SEEDS = IS_LONG ? 200 : 1;
/** One seed of a failure: PENSTOCK_SEED=7. */
const [FIRST, COUNT] =
  process.env.PENSTOCK_SEED === undefined ? [1, SEEDS] : [Number(process.env.PENSTOCK_SEED), 1];
const ROUNDS = IS_LONG ? 4 : 2;

const USUAL: ProgramOptions = {
  diskBytes: [32 * MIB],
  cacheBytes: MIB,
  chunkBytes: 64 * 1024,
  volumeSectorsMax: 20_000,
  isThin: true,
  sectorsMax: 64,
  quick: 0.5,
  operations: 400,
  clients: 8,
};

const FULL = { ...USUAL, volumeSectorsMax: 60_000, sectorsMax: 2048, operations: 300 };

const FILLED = {
  ...USUAL,
  diskBytes: [32 * MIB, 16 * MIB, 16 * MIB],
  volumeSectorsMax: 90_000,
  isFilled: true,
  sectorsMax: 16,
  operations: 1500,
  clients: 16,
};

const CASES: Readonly<Record<string, ProgramOptions>> = {
  "of one disk": USUAL,
  "of three disks": { ...USUAL, diskBytes: [32 * MIB, 16 * MIB, 24 * MIB], trims: true },
  ...(IS_LONG ? { "that are full and trimmed": { ...FULL, trims: true } } : {}),
  "with many clients": { ...USUAL, clients: 64, operations: 1000 },
  "that are full": FULL,
  "that are filled and overwritten": FILLED,
  "of thick volumes": {
    ...USUAL,
    isThin: false,
    volumeSectorsMax: 25_000,
    sectorsMax: 1024,
  },
  "that are written a sector at a time": { ...USUAL, volumeSectorsMax: 600, sectorsMax: 3 },
};

for (const [name, options] of Object.entries(CASES)) {
  test(`pools ${name} hold what they may after any loss`, async () => {
    for (let seed = FIRST; seed < FIRST + COUNT; seed++) await runSeed(seed, options);
  });
}

test("seed 107 of full pools: what a running flush does not cover, the next one does", () =>
  runSeed(107, FULL));

test("seed 13 of filled pools: what the log names is free again after the import", () =>
  runSeed(13, { ...FILLED, operations: 4000 }, 3));

async function runSeed(
  seed: number,
  options: ProgramOptions,
  rounds: number = ROUNDS,
): Promise<void> {
  let program: PoolProgram | undefined;
  try {
    await withReactor(
      "fake",
      async ({ reactor }) => {
        program = new PoolProgram(reactor, new Prng(seed), options);
        await program.create();
        for (let round = 0; round < rounds; round++) await program.round();
        await program.close();
      },
      { seed },
    );
  } catch (error) {
    const last = program?.trace.slice(-40).join("\n  ") ?? "";
    throw new Error(`seed ${seed}; its last steps:\n  ${last}`, { cause: error });
  }
}
