/**
 * replaceFile: a file gets another content as a whole. After a crash at any point there is the old
 * content or the new one under its name, and the new one once it has settled.
 *
 *   temporary file, filled --> fsync --> renamed --> fsync of the folder
 *
 * Calls for one path come one after the other: its temporary file has one name.
 */

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export interface Replacement {
  readonly path: string;
  /** In the same folder; a crash may leave it behind. Default: `path` with ".tmp". */
  readonly temporary?: string;
  /** Of a file that is made. */
  readonly mode?: number;
}

/** Durable when it settles. @throws Error of the file system; then either content is there */
export async function replaceFile(
  { path, temporary = `${path}.tmp`, mode }: Replacement,
  fill: (file: FileHandle) => Promise<unknown>,
): Promise<void> {
  try {
    const file = await open(temporary, "w", mode);
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    // On a full disk it would hold what little there is.
    await removeFile(temporary);
    throw thrown;
  }
  await syncFolder(dirname(path));
}

/** Makes names that have come, changed or gone durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** As far as it can be. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
