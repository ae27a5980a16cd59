/**
 * The files below the mirror of `npm start`, and which of them may be read.
 *
 * A mirror without metadata does not know after a restart that a leg has missed writes. So the
 * starter writes it down: which legs were in sync last, and whether all has ended cleanly. When it
 * has not, one leg that was in sync is copied over the others before anybody reads.
 */

import { existsSync } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PenstockError } from "../util/errors.ts";

const STATE_FILE = "legs.json";
const CHUNK_BYTES = 2 ** 20;

export interface LegState {
  /** From 0. */
  readonly inSync: readonly number[];
  readonly isClean: boolean;
}

export function legPath(folder: string, name: string, leg: number): string {
  return join(folder, `${name}-${leg + 1}.img`);
}

/**
 * Makes all legs of the disks `names` hold the same again, where they may differ. Nobody else uses
 * the files.
 * @returns the leg (from 0) that the others were copied from, or null: nothing was to be done
 */
export async function repairLegs(
  folder: string,
  names: readonly string[],
  legCount: number,
): Promise<number | null> {
  const state = await readState(folder);
  const legs = Array.from({ length: legCount }, (_, leg) => leg);
  const isThere = (leg: number): boolean =>
    names.every((name) => existsSync(legPath(folder, name, leg)));
  if (state === null && !legs.some(isThere)) return null;
  if (state?.isClean && state.inSync.length === legCount && legs.every(isThere)) return null;
  // Without a state nobody has ever served these files.
  const source = (state?.inSync ?? legs).find(isThere);
  if (source === undefined) {
    throw new PenstockError({
      code: "data-dir-invalid",
      message: `${folder} lacks the files of its disks: name another --data-dir, or remove it`,
    });
  }
  for (const name of names) {
    for (const leg of legs) {
      if (leg === source) continue;
      await copySparse(legPath(folder, name, source), legPath(folder, name, leg));
    }
  }
  return source;
}

/** Durable when it settles; either the old or the new state is there after a crash. */
export async function writeState(folder: string, state: LegState): Promise<void> {
  const path = join(folder, STATE_FILE);
  await writeFile(`${path}.tmp`, `${JSON.stringify(state)}\n`, { flush: true });
  await rename(`${path}.tmp`, path);
}

async function readState(folder: string): Promise<LegState | null> {
  try {
    const value: unknown = JSON.parse(await readFile(join(folder, STATE_FILE), "utf8"));
    return isState(value) ? value : null;
  } catch {
    return null;
  }
}

function isState(value: unknown): value is LegState {
  if (typeof value !== "object" || value === null) return false;
  const { inSync, isClean } = value as Partial<Record<keyof LegState, unknown>>;
  return (
    typeof isClean === "boolean" &&
    Array.isArray(inSync) &&
    inSync.every((leg) => Number.isSafeInteger(leg) && leg >= 0)
  );
}

/** As a whole: `to` is either what it was or a copy. Holes stay holes. */
async function copySparse(from: string, to: string): Promise<void> {
  const temporary = `${to}.tmp`;
  const source = await open(from, "r");
  try {
    const target = await open(temporary, "w");
    try {
      await copyChunks(source, target);
      await target.sync();
    } finally {
      await target.close();
    }
    await rename(temporary, to);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  } finally {
    await source.close();
  }
}

async function copyChunks(source: FileHandle, target: FileHandle): Promise<void> {
  const { size } = await source.stat();
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const zeroes = Buffer.alloc(CHUNK_BYTES);
  await target.truncate(size);
  for (let offset = 0; offset < size; ) {
    const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, offset);
    if (bytesRead === 0) break;
    const data = chunk.subarray(0, bytesRead);
    if (!data.equals(zeroes.subarray(0, bytesRead))) {
      await target.write(data, 0, bytesRead, offset);
    }
    offset += bytesRead;
  }
}
