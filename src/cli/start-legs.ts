/**
 * The files below the mirrors of `npm start`, and which of them may be read.
 *
 * The engine with the mirrors stores which legs are out before it acknowledges anything that they
 * lack. The starter makes all pipes anew at each start, so it takes that over first, into a file
 * of its own: of each disk the legs that were in sync, and whether all has ended cleanly. Where a
 * leg was out, or the end was not clean, one that was in sync is copied over the others before
 * anybody reads.
 */

import { existsSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DataDirectory } from "../engine/data-directory.ts";
import { PipeStore, type StoredPipe } from "../engine/pipe-store.ts";
import { replaceFile } from "../reactor/replace-file.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const STATE_FILE = "legs.json";
const CHUNK_BYTES = 2 ** 20;
/** Of a mirror that is its pipe's source: "1.2" is its second leg. */
const LEG_PLACE = /^1\.([1-9]\d?)$/;

export interface LegState {
  /** By the disk's name: its legs, from 0. */
  readonly inSync: Readonly<Record<string, readonly number[]>>;
  readonly isClean: boolean;
}

/** What `npm start` keeps in its folder. */
export interface LegFolder {
  readonly path: string;
  /** Of the disks, which are those of the mirrors' pipes, too. */
  readonly names: readonly string[];
  readonly legCount: number;
  /** Folders of the engines, that with the mirrors last. */
  readonly engines: readonly string[];
  readonly level: RealLevel;
}

export function legPath(folder: string, name: string, leg: number): string {
  return join(folder, `${name}-${leg + 1}.img`);
}

/**
 * Takes over what the engine with the mirrors has stored, then forgets all pipes of all engines.
 * None of them runs. A crash on the way costs nothing: what is forgotten has been taken over.
 * @param end how the engines have ended, where that was seen
 * @throws PenstockError `data-dir-in-use`, `data-dir-invalid`, `store-damaged`, `store-failed`
 */
export async function settleLegs(
  folder: LegFolder,
  end?: { readonly isClean: boolean; readonly failedLegs: readonly number[] },
): Promise<void> {
  const { path, engines, level } = folder;
  for (const engine of [...engines].reverse()) {
    const directory = await DataDirectory.take(engine, { level, holder: "npm start" });
    try {
      const store = await PipeStore.open(join(engine, "pipes"));
      const { entries } = await store.load();
      if (engine === engines.at(-1)) {
        const pipes = entries.map(({ pipe, problem }) => {
          // Which legs it had out nobody knows: a guess might copy old data over new.
          if (pipe === null) throw problem ?? new PenstockError({ code: "internal", message: "" });
          return pipe;
        });
        const before = await readState(folder);
        const after = stateAfter(folder, { before, pipes, ...end });
        if (after !== null) await writeState(path, after);
      }
      for (const { name } of entries) await store.delete(name);
    } finally {
      await directory.release();
    }
  }
}

/** Null: nothing is known, and there is nothing to tell. */
function stateAfter(
  { names, legCount }: LegFolder,
  known: {
    readonly before: LegState | null;
    readonly pipes: readonly StoredPipe[];
    readonly isClean?: boolean;
    readonly failedLegs?: readonly number[];
  },
): LegState | null {
  const { before, pipes, failedLegs = [] } = known;
  if (before === null && pipes.length === 0) return null;
  let isClean = known.isClean ?? before?.isClean ?? false;
  const inSync: Record<string, readonly number[]> = {};
  for (const name of names) {
    const out = new Set(pipes.filter((pipe) => pipe.name === name).flatMap(outLegsOf));
    const left = (before?.inSync[name] ?? allLegs(legCount)).filter((leg) => !out.has(leg));
    // A leg whose own last flush has failed may lack what the others have.
    const whole = left.filter((leg) => !failedLegs.includes(leg));
    if (whole.length === 0) isClean = false;
    inSync[name] = whole.length === 0 ? left : whole;
  }
  return { inSync, isClean };
}

function outLegsOf({ outLegs = [] }: StoredPipe): number[] {
  return outLegs.flatMap(({ leg }) => {
    const number = LEG_PLACE.exec(leg)?.[1];
    return number === undefined ? [] : [Number(number) - 1];
  });
}

function allLegs(legCount: number): number[] {
  return Array.from({ length: legCount }, (_, leg) => leg);
}

/**
 * Makes all legs of each disk hold the same again, where they may differ. Nobody else uses the
 * files, and the legs are settled.
 * @returns by disk the leg (from 0) that the others were copied from; empty: nothing was to be done
 */
export async function repairLegs(folder: LegFolder): Promise<ReadonlyMap<string, number>> {
  const { path, names, legCount } = folder;
  const state = await readState(folder);
  const legs = allLegs(legCount);
  const sources = new Map<string, number>();
  for (const name of names) {
    const isThere = (leg: number): boolean => existsSync(legPath(path, name, leg));
    // Without a state nobody has ever served these files.
    const inSync = state?.inSync[name] ?? legs;
    if (state === null && !legs.some(isThere)) continue;
    if (state?.isClean && inSync.length === legCount && legs.every(isThere)) continue;
    const source = inSync.find(isThere);
    if (source === undefined) {
      throw new PenstockError({
        code: "data-dir-invalid",
        message: `${path} lacks the files of its disks: name another --data-dir, or remove it`,
      });
    }
    for (const leg of legs) {
      if (leg !== source) await copySparse(legPath(path, name, source), legPath(path, name, leg));
    }
    sources.set(name, source);
  }
  return sources;
}

/** Before anybody may write: all legs are equal, and nobody has ended anything. */
export async function noteServing({ path, names, legCount }: LegFolder): Promise<void> {
  const inSync = Object.fromEntries(names.map((name) => [name, allLegs(legCount)]));
  await writeState(path, { inSync, isClean: false });
}

/** Durable when it settles; either the old or the new state is there after a crash. */
export async function writeState(path: string, state: LegState): Promise<void> {
  await replaceFile({ path: join(path, STATE_FILE) }, (file) =>
    file.writeFile(`${JSON.stringify(state)}\n`),
  );
}

/** Null: there is none. @throws PenstockError `data-dir-invalid`: it cannot be read */
async function readState({ path, names }: LegFolder): Promise<LegState | null> {
  const file = join(path, STATE_FILE);
  if (!existsSync(file)) return null;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (thrown) {
    throw stateError(file, toPenstockError(thrown).message);
  }
  const state = ofEachDisk(value, names);
  if (!isState(state)) throw stateError(file, "found another content than expected");
  return state;
}

/** Which legs are whole stands nowhere else: a guess might copy old data over new. */
function stateError(file: string, why: string): PenstockError {
  const message = `${file} does not tell which files are whole (${why}): name another --data-dir`;
  return new PenstockError({ code: "data-dir-invalid", message });
}

/** An earlier version noted one list of legs for all disks. */
function ofEachDisk(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { inSync } = value as { readonly inSync?: unknown };
  if (!Array.isArray(inSync)) return value;
  return { ...value, inSync: Object.fromEntries(names.map((name) => [name, inSync])) };
}

function isState(value: unknown): value is LegState {
  if (typeof value !== "object" || value === null) return false;
  const { inSync, isClean } = value as Partial<Record<keyof LegState, unknown>>;
  if (typeof isClean !== "boolean" || typeof inSync !== "object" || inSync === null) return false;
  return Object.values(inSync).every(
    (legs) =>
      Array.isArray(legs) && legs.every((leg) => Number.isSafeInteger(leg) && Number(leg) >= 0),
  );
}

/** As a whole: `to` is either what it was or a copy. Holes stay holes. */
async function copySparse(from: string, to: string): Promise<void> {
  const source = await open(from, "r");
  try {
    await replaceFile({ path: to }, (target) => copyChunks(source, target));
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
