/**
 * A folder for one test, removed after it.
 *
 * Under TMPDIR, which should be on a real file system: holes, O_DIRECT and fallocate need one.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { cleanUp, type TestScope } from "./cleanup.ts";

/** Makes a fresh folder with a short path (Unix sockets have 107 bytes), gone after the test. */
export function makeTempDir(t: TestScope): string {
  const path = mkdtempSync(join(tmpdir(), "penstock-"));
  cleanUp(t, () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}
