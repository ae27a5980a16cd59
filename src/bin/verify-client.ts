/**
 * The second process of `npm start`: overwrites and verifies an NBD export from outside the engine.
 *
 *   verify-client.ts URI LENGTH_BYTES SEED      prints one JSON line, exits 0 or 1
 */

import { reportError } from "../cli/report-error.ts";
import { verifyExport } from "../cli/verify-export.ts";

const [uri = "", lengthText = "", seedText = ""] = process.argv.slice(2);
try {
  const options = { lengthBytes: Number(lengthText), seed: Number(seedText) };
  const summary = await verifyExport(uri, options);
  process.stdout.write(`${JSON.stringify(summary)}\n`);
} catch (thrown) {
  const report = reportError(thrown);
  process.stderr.write(`${report.text}\n`);
  process.exitCode = 1;
}
