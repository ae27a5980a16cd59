/**
 * The UUID of an engine's data directory, in DIR/engine.uuid: pools on disks say whose they are,
 * and whoever is started again finds its own.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../reactor/replace-file.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MODE = 0o600;

/**
 * Made with the first call; durable when it settles.
 * @throws PenstockError `store-failed`: another one would not be that of its pools
 */
export async function engineUuidOf(dataDir: string, makeUuid: () => string): Promise<string> {
  const path = join(dataDir, "engine.uuid");
  try {
    const found = (await readIfThere(path)).trim();
    if (UUID.test(found)) return found;
    const made = makeUuid();
    await replaceFile({ path, mode: MODE }, (file) => file.writeFile(`${made}\n`));
    return made;
  } catch (thrown) {
    const { message, retryable } = toPenstockError(thrown);
    const text = `${path} cannot be used: ${message}`;
    throw new PenstockError({ code: "store-failed", message: text, retryable, cause: thrown });
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (toPenstockError(thrown).code === "system-enoent") return "";
    throw thrown;
  }
}
