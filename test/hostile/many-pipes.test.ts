/**
 * An engine with many pipes and many idle connections: a thousand and five thousand in a long run,
 * fewer otherwise. It starts, lists and stops with all of them, and does nothing when nobody asks.
 */

import { ok } from "node:assert/strict";
import { measureScale } from "../../src/testing/engine-scale.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";

const PIPES = forLongRun(100, 1000);
const CONNECTIONS = forLongRun(400, 5000);
const IDLE_MS = forLongRun(2000, 10_000);
const KIB = 1024;
/** Far more than their state, far less than buffers of their own would be. */
const PIPE_BYTES_MAX = 256 * KIB;
const CONNECTION_BYTES_MAX = 64 * KIB;
const IDLE_SHARE_MAX = forLongRun(0.05, 0.01);

const timeoutMs = forLongRun(120, 600) * 1000;

forEachLevel("many pipes and connections", { timeoutMs }, async (t, level) => {
  const options = { pipes: PIPES, connections: CONNECTIONS, level, idleMs: IDLE_MS };
  const figures = await measureScale(t, options);
  const rounded = Object.entries(figures).map(([name, value]) => `${name} ${value.toPrecision(3)}`);
  t.diagnostic(rounded.join(", "));
  ok(figures.bytesPerPipe < PIPE_BYTES_MAX, `${figures.bytesPerPipe} bytes per pipe`);
  ok(figures.bytesPerConnection < CONNECTION_BYTES_MAX, `${figures.bytesPerConnection} bytes`);
  ok(figures.idleShare < IDLE_SHARE_MAX, `busy for ${figures.idleShare} of a core`);
});
