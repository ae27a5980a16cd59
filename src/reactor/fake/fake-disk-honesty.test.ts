// The fake disk beside real ones: the same random programs on a regular file, a loop device and a
// full file system give the same results, step by step, and the same content.
//
// What may differ is said in `isAllowed`.

import { fail, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  DiskActor,
  type DiskProgramOptions,
  type DiskStep,
  drawDiskProgram,
} from "../../testing/disk-program.ts";
import { forLongRun } from "../../testing/long-run.ts";
import { makeLoopDevice } from "../../testing/loop-device.ts";
import { missingTools } from "../../testing/require-tool.ts";
import { makeTempDir } from "../../testing/temp-dir.ts";
import { testSeed } from "../../testing/test-seed.ts";
import { makeTmpfs } from "../../testing/tmpfs.ts";
import { Prng } from "../../util/prng.ts";
import { chooseLevel, openIo } from "../open-io.ts";
import { FakeWorld } from "./fake-world.ts";

const SIZE_BYTES = 512 * 1024 + 1536;
const LENGTH_MAX = 160 * 1024;
const ALL_KINDS: readonly DiskStep["kind"][] = [
  ...(["read", "read", "write", "write", "write"] as const),
  ...(["punch", "zero", "seek", "seek", "sync", "reopen"] as const),
];
const STEPS_SHOWN = 12;

interface Pair {
  /** Of the real one; the fake one has the same. */
  readonly path: string;
  readonly direct: boolean;
  readonly isBlockDevice?: boolean;
  readonly spaceBytes?: number;
  /** Created with, by the first open; -1: it is there. */
  readonly createSizeBytes: number;
  readonly program: DiskProgramOptions;
}

const PROGRAM: DiskProgramOptions = {
  sizeBytes: SIZE_BYTES,
  steps: 150,
  granule: 512,
  lengthMax: LENGTH_MAX,
  kinds: ALL_KINDS,
  beyondBytes: 64 * 1024,
};

for (const direct of [false, true]) {
  const how = direct ? "direct" : "buffered";

  test(`FakeDisk does what a regular file does, ${how}`, async (t) => {
    const seed = testSeed(t);
    const folder = makeTempDir(t);
    for (let round = 0; round < forLongRun(3, 60); round++) {
      await compare(new Prng(`file ${seed} ${round}`), {
        path: join(folder, `${round}.img`),
        direct,
        createSizeBytes: SIZE_BYTES,
        program: PROGRAM,
      });
    }
  });

  test(`FakeDisk does what a loop device does, ${how}`, {
    skip: missingTools("root", "losetup", "/dev/loop-control"),
  }, async (t) => {
    const seed = testSeed(t);
    for (let round = 0; round < forLongRun(2, 40); round++) {
      const { path } = await makeLoopDevice(t, { sizeBytes: SIZE_BYTES });
      await compare(new Prng(`loop ${seed} ${round}`), {
        path,
        direct,
        isBlockDevice: true,
        createSizeBytes: -1,
        program: PROGRAM,
      });
    }
  });
}

test("FakeDisk gets full as a small tmpfs does", {
  skip: missingTools("root", "mount"),
}, async (t) => {
  const seed = testSeed(t);
  const spaceBytes = 256 * 1024;
  for (let round = 0; round < forLongRun(3, 60); round++) {
    const folder = await makeTmpfs(t, spaceBytes);
    await compare(new Prng(`full ${seed} ${round}`), {
      path: join(folder, "full.img"),
      direct: false,
      createSizeBytes: SIZE_BYTES,
      spaceBytes,
      // tmpfs cannot zero a range and keep it, and keeps a last page that is punched in part.
      program: {
        ...PROGRAM,
        punchGranule: 4096,
        kinds: ALL_KINDS.filter((kind) => kind !== "zero"),
      },
    });
  }
});

/** Runs one program on both, step by step. */
async function compare(prng: Prng, pair: Pair): Promise<void> {
  const { path, direct, isBlockDevice = false, createSizeBytes, program } = pair;
  const steps: DiskStep[] = [...drawDiskProgram(prng, program), ...wholeFile(program)];
  const actor = { path, direct, lengthMax: program.lengthMax };
  const world = new FakeWorld({
    seed: prng.nextUint32(),
    disk: pair.spaceBytes === undefined ? {} : { spaceBytes: pair.spaceBytes },
  });
  if (isBlockDevice) world.disk().create({ path, sizeBytes: program.sizeBytes, isBlockDevice });
  const fake = new DiskActor(world.process().io, actor);
  const realIo = await openIo({ level: await chooseLevel("auto") });
  realIo.setTurnHandler({ runTurn: () => false });
  const real = new DiskActor(realIo, actor);
  try {
    const opened = await real.open(createSizeBytes);
    strictEqual(await world.runUntil(fake.open(createSizeBytes)), opened, "opening");
    const told: string[] = [];
    for (const [index, step] of steps.entries()) {
      const does = await real.run(step);
      const pretends = await world.runUntil(fake.run(step));
      told.push(`${index} ${JSON.stringify(step)}: ${does}`);
      if (does === pretends || isAllowed(step, does, pretends, pair)) continue;
      const before = told.slice(-STEPS_SHOWN).join("\n");
      fail(`the fake disk gives ${pretends} in the last step of\n${before}`);
    }
  } finally {
    await real.close();
    await realIo.close();
  }
}

/**
 * A file system may call allocated zeroes data, never data a hole. Linux does not look at the
 * alignment of a direct read where it finds nothing to read from the disk.
 */
function isAllowed(step: DiskStep, does: string, pretends: string, pair: Pair): boolean {
  if (step.kind === "read") return pair.direct && pretends.startsWith("EINVAL");
  if (step.kind !== "seek" || !pair.program.kinds.includes("zero")) return false;
  const real = does === "ENXIO" ? Number.POSITIVE_INFINITY : Number(does);
  const fake = pretends === "ENXIO" ? Number.POSITIVE_INFINITY : Number(pretends);
  if (Number.isNaN(real) || Number.isNaN(fake)) return false;
  return step.what === "data" ? real <= fake : real >= fake && does !== "ENXIO";
}

/** Reads that cover all there may be. */
function wholeFile({ sizeBytes, beyondBytes, lengthMax }: DiskProgramOptions): DiskStep[] {
  const steps: DiskStep[] = [];
  for (let position = 0; position < sizeBytes + beyondBytes + lengthMax; position += lengthMax) {
    steps.push({ kind: "read", position, ranges: [lengthMax], durable: false, value: 0 });
  }
  return steps;
}
