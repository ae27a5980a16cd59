/** A small file system of its own for one test, to be filled. Needs root and `mount`. */

import { cleanUp, type TestScope } from "./cleanup.ts";
import { runCommand } from "./run-command.ts";
import { makeTempDir } from "./temp-dir.ts";

/** Its folder; gone after the test. */
export async function makeTmpfs(t: TestScope, sizeBytes: number): Promise<string> {
  const folder = makeTempDir(t);
  const options = `size=${sizeBytes},huge=never`;
  await runCommand("mount", ["-t", "tmpfs", "-o", options, "penstock-test", folder], {});
  cleanUp(t, async () => {
    await runCommand("umount", [folder], { exitCode: "any" });
  });
  return folder;
}
