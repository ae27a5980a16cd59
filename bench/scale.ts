/**
 * What many pipes and many idle connections cost an engine: memory of each, the time to make, list
 * and bring them back, and the processor time of doing nothing. Prints a table.
 *
 *   node bench/scale.ts [PIPES [CONNECTIONS [LEVEL]]]
 *
 * Goal: 1,000 pipes and 5,000 connections, idle below 1 % of a core. See docs/operations/scale.md.
 */

import { measureScale } from "../src/testing/engine-scale.ts";
import { LEVELS } from "../src/testing/levels.ts";

const PIPES = 1000;
const CONNECTIONS = 5000;
const IDLE_MS = 10_000;
const KIB = 1024;

async function run(pipes: number, connections: number, only?: string): Promise<void> {
  const rows: Record<string, Record<string, string>> = {};
  for (const level of LEVELS.filter(({ name }) => name === (only ?? name))) {
    const undo: (() => void | Promise<void>)[] = [];
    const scope = { after: (step: () => void | Promise<void>) => void undo.push(step) };
    try {
      const found = await measureScale(scope, { pipes, connections, level, idleMs: IDLE_MS });
      rows[level.name] = {
        "KiB per pipe": (found.bytesPerPipe / KIB).toFixed(0),
        "KiB per connection": (found.bytesPerConnection / KIB).toFixed(1),
        "idle %": (found.idleShare * 100).toFixed(2),
        "create s": (found.createMs / 1000).toFixed(2),
        "list ms": found.listMs.toFixed(0),
        "stats ms": found.statsMs.toFixed(0),
        "stop s": (found.stopMs / 1000).toFixed(2),
        "restart s": (found.restartMs / 1000).toFixed(2),
      };
    } finally {
      for (const step of undo.reverse()) await step();
    }
  }
  console.log(`${pipes} pipes (file | limit | nbd), ${connections} idle connections:`);
  console.table(rows);
}

await run(
  Number(process.argv[2] ?? PIPES),
  Number(process.argv[3] ?? CONNECTIONS),
  process.argv[4],
);
