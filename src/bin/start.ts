/**
 * Entry of `npm start`.
 */

import { join } from "node:path";
import { CommanderError } from "commander";
import { reportError } from "../cli/report-error.ts";
import { start } from "../cli/start.ts";
import { readStartOptions } from "../cli/start-options.ts";

try {
  const programs = {
    engine: join(import.meta.dirname, "penstock.ts"),
    client: join(import.meta.dirname, "verify-client.ts"),
  };
  process.exitCode = await start(readStartOptions(process.argv.slice(2)), programs);
} catch (thrown) {
  if (!(thrown instanceof CommanderError && thrown.exitCode === 0)) {
    const report = reportError(thrown);
    process.stderr.write(`${report.text}\n`);
    process.exitCode = report.exitCode;
  }
}
