/**
 * The client process of `npm start`: overwrites and verifies a share from outside.
 *
 *   verify-client.ts once LENGTH_BYTES SEED URI [URI2]     writes, reads back from URI2; one line
 *   verify-client.ts load LENGTH_BYTES SEED URI [URI...]   until standard input ends, then reads
 *                                                          back, from other URIs too; JSON lines
 *
 * Exits 0, or 1 when anything is not as it was written.
 */

import type { LoadLine } from "../cli/load-process.ts";
import { reportError } from "../cli/report-error.ts";
import { VerifiedLoad } from "../cli/verified-load.ts";
import { verifyExport } from "../cli/verify-export.ts";

const PROGRESS_MS = 50;

const [mode = "", lengthText = "", seedText = "", uri = "", ...others] = process.argv.slice(2);
const options = { lengthBytes: Number(lengthText), seed: Number(seedText) };
try {
  if (mode === "load") await load();
  else print(await verifyExport(uri, options, others[0]));
} catch (thrown) {
  process.stderr.write(`${reportError(thrown).text}\n`);
  process.exitCode = 1;
}

async function load(): Promise<void> {
  const running = await VerifiedLoad.connect(uri, options);
  const line = (comparedBytes: number | null): LoadLine => {
    const { acknowledgedWrites, comparedReads } = running;
    return { acknowledgedWrites, comparedReads, comparedBytes };
  };
  const timer = setInterval(() => print(line(null)), PROGRESS_MS);
  process.stdin.on("end", () => running.stop());
  process.stdin.resume();
  try {
    await running.run();
  } finally {
    clearInterval(timer);
    process.stdin.pause();
  }
  let comparedBytes = 0;
  for (const each of [uri, ...others]) comparedBytes += await running.check(each);
  print(line(comparedBytes));
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
