/**
 * Scenario `snapshot`: trees of snapshots and clones in a pool. Clients write, discard and read;
 * others snapshot, clone, roll back, promote, flatten, resize, delete and compare. The process is
 * killed, its host loses power.
 *
 * Safety rules 1, 2 and 15 to 17, for each version.
 */

import { Prng } from "../../util/prng.ts";
import { drawMs, pickWeighted, type Weighted } from "../draw.ts";
import type { Scenario } from "../run.ts";
import type { Schedule, Step } from "../schedule.ts";
import { SnapshotStage } from "./snapshot-stage.ts";

export const SNAPSHOT_SCENARIO: Scenario = {
  name: "snapshot",
  about: "snapshots and clones of volumes of a pool: kill and power loss",
  draw: drawSnapshot,
  start: (run) => new SnapshotStage(run),
};

const EVENTS: readonly Weighted<string>[] = [
  { weight: 120, value: "write" },
  { weight: 25, value: "discard" },
  { weight: 40, value: "read" },
  { weight: 10, value: "flush" },
  { weight: 22, value: "snapshot" },
  { weight: 14, value: "clone" },
  { weight: 6, value: "rollback" },
  { weight: 4, value: "promote" },
  { weight: 3, value: "flatten" },
  { weight: 6, value: "resize" },
  { weight: 26, value: "delete" },
  { weight: 8, value: "diff" },
  { weight: 4, value: "measure" },
  { weight: 4, value: "volume" },
  { weight: 4, value: "checkpoint" },
  { weight: 1, value: "export" },
];
const STEPS = 900;
const CRASHES = 4;
/** Of events that a crash may follow at once. */
const CHANGES: ReadonlySet<string> = new Set([
  "snapshot",
  "clone",
  "rollback",
  "promote",
  "flatten",
  "resize",
  "delete",
  "checkpoint",
]);

function drawSnapshot(seed: number): Schedule {
  const prng = new Prng(`snapshot ${seed}`);
  const hasPower = prng.chance(0.5);
  const blocks = prng.pick([16, 200, 600, 1500]);
  const versions = prng.pick([6, 16, 40]);
  const settings = {
    disks: 1 + prng.below(2),
    chunkKib: prng.pick([64, 256, 1024]),
    blockSectors: prng.pick([1, 8]),
    direct: prng.pick([0, 1]),
    // A checkpoint puts all that has changed into pages at once: many objects want many pages.
    cacheKib: prng.pick(versions > 16 ? [256, 1024] : versions > 6 ? [128, 256] : [64, 128]),
    blocks,
    requestBlocks: prng.pick([4, 40, Math.max(4, blocks >> 2)]),
    versions,
    thick: prng.below(5) === 0 ? 1 : 0,
  };
  const steps: Step[] = [];
  const paceMs = prng.pick([0.2, 0.6, 2]);
  const crashAfterChange = prng.pick([0, 0.02, 0.06]);
  for (let index = 0; index < STEPS; index++) {
    const at = drawMs(prng, 0, 2 * paceMs);
    const name = pickWeighted(prng, EVENTS);
    steps.push({ at, kind: "event", name, target: prng.below(1000), ms: prng.below(1_000_000) });
    const isAfter = CHANGES.has(name) && prng.chance(crashAfterChange);
    if (isAfter || prng.chance(CRASHES / STEPS)) {
      steps.push(crash(prng, prng.pick([0.05, 1, 5]), hasPower));
    }
  }
  return { scenario: "snapshot", seed, settings, steps };
}

function crash(prng: Prng, withinMs: number, hasPower: boolean): Step {
  const at = drawMs(prng, 0, withinMs);
  const ms = drawMs(prng, 0, 4);
  if (!hasPower || prng.chance(0.5)) return { at, kind: "kill", process: 0, ms };
  return { at, kind: "power-loss", host: 0, keep: prng.pick([-1, -1, 0, 1, 0.5]), ms };
}
