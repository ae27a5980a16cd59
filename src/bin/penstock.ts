/**
 * The command `penstock`. bin/penstock becomes this by exec, so signals arrive here.
 */

import { runCommandLine } from "../cli/program.ts";

// Not process.exit: output that a pipe has not taken yet is still written.
process.exitCode = await runCommandLine(process.argv.slice(2));
