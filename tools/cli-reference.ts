/**
 * Writes the reference of the command line: docs/reference/cli.md, docs/reference/codes.md and
 * docs/man/penstock.1.
 *
 *   npm run reference
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { manifest } from "../src/cli/manifest.ts";
import { makeProgram } from "../src/cli/program.ts";
import { codeReference, commandReference, manualPage } from "../src/cli/reference.ts";
import { stageHelp } from "../src/cli/stage-help.ts";

const DOCS = join(import.meta.dirname, "../docs");

const program = makeProgram(() => undefined, stageHelp);
const files = {
  "reference/cli.md": commandReference(program),
  "reference/codes.md": codeReference(),
  "man/penstock.1": manualPage(program, manifest.version),
};
for (const [path, text] of Object.entries(files)) {
  const file = join(DOCS, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  process.stdout.write(`${file}\n`);
}
