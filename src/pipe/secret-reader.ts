/**
 * Reads what a secret reference points to: late, once, into one buffer that its user wipes.
 *
 * Files are opened without blocking, and a pipe is looked into again and again, for so long: one
 * that nobody writes into would keep a thread of Node's few that all file access needs.
 *
 * A variable's value is a string of the engine's, which nobody can wipe: files are better. Errors
 * name the reference and the length, never what was read.
 */

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";
import type { Clock } from "../reactor/clock.ts";
import { PenstockError } from "../util/errors.ts";
import type { SecretReference } from "./secret-reference.ts";

export interface Secret {
  /** At most one byte more than was asked for. The caller wipes it. */
  readonly content: Uint8Array;
  /** Where it is from, for messages: "file:/etc/k". */
  readonly source: string;
}

/** For a pipe's writer, who may have to ask a person first. */
const WAIT_MS_MAX = 30_000;
const LOOK_MS = 20;

/**
 * @param bytesMax nothing behind the first byte over it is read
 * @throws PenstockError `secret-unreadable`
 */
export async function readSecret(
  reference: SecretReference,
  bytesMax: number,
  clock: Clock,
): Promise<Secret> {
  if (reference.kind === "env") return readVariable(reference.name, bytesMax);
  const path = resolve(reference.path);
  const source = `file:${path}`;
  // Not from the engine's pool of small buffers, where it would lie beside everything else.
  const buffer = new Uint8Array(bytesMax + 1);
  try {
    const length = await readFile(path, buffer, clock);
    return { content: buffer.subarray(0, length), source };
  } catch (error) {
    buffer.fill(0);
    const { code } = error as NodeJS.ErrnoException;
    throw unreadable(source, REASON_BY_CODE[code ?? ""] ?? code ?? "it cannot be read");
  }
}

async function readFile(path: string, buffer: Uint8Array, clock: Clock): Promise<number> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const isPipe = (await file.stat()).isFIFO();
    const untilMs = clock.nowMs() + WAIT_MS_MAX;
    let hasWriter = false;
    let length = 0;
    while (length < buffer.length) {
      const bytesRead = await readSome(file, buffer.subarray(length));
      if (bytesRead === null || bytesRead > 0) hasWriter = true;
      else if (!isPipe || hasWriter) break;
      if (bytesRead !== null && bytesRead > 0) length += bytesRead;
      else await nextLook(clock, untilMs);
    }
    return length;
  } finally {
    await file.close();
  }
}

/** @returns 0 at the end, or for a pipe without a writer; null: there may be more later */
async function readSome(file: FileHandle, target: Uint8Array): Promise<number | null> {
  try {
    // Without a position, so that a pipe (<(pass show disk)) serves as well.
    return (await file.read(target, 0, target.length, null)).bytesRead;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return null;
    throw error;
  }
}

function nextLook(clock: Clock, untilMs: number): Promise<void> {
  if (clock.nowMs() >= untilMs) {
    const error: NodeJS.ErrnoException = new Error("nothing came");
    error.code = "EAGAIN";
    throw error;
  }
  return new Promise((resolve) => {
    clock.startTimer(LOOK_MS, resolve);
  });
}

function readVariable(name: string, bytesMax: number): Secret {
  const source = `env:${name}`;
  const value = process.env[name];
  if (value === undefined) throw unreadable(source, "the variable is not set");
  const buffer = new Uint8Array(bytesMax + 1);
  const { written } = new TextEncoder().encodeInto(value, buffer);
  return { content: buffer.subarray(0, written), source };
}

const REASON_BY_CODE: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "it is a directory",
  EAGAIN: `it did not end within ${WAIT_MS_MAX / 1000} s`,
};

function unreadable(source: string, reason: string): PenstockError {
  return new PenstockError({
    code: "secret-unreadable",
    message: `cannot read the secret ${source}: ${reason}`,
    details: { source },
  });
}
