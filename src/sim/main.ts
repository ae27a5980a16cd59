/**
 * The program behind `penstock simulate` and `npm run sim`.
 */

import { runCommand } from "./run-command.ts";

process.exitCode = await runCommand(process.argv.slice(2));
