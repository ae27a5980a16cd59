/**
 * Reads what a secret reference points to: late, once, into one buffer that its user wipes.
 *
 * A variable's value is a string of the engine's, which nobody can wipe: files are better. Errors
 * name the reference and the length, never what was read.
 */

import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { PenstockError } from "../util/errors.ts";
import type { SecretReference } from "./secret-reference.ts";

export interface Secret {
  /** At most one byte more than was asked for. The caller wipes it. */
  readonly content: Uint8Array;
  /** Where it is from, for messages: "file:/etc/k". */
  readonly source: string;
}

/**
 * @param bytesMax nothing behind the first byte over it is read
 * @throws PenstockError `secret-unreadable`
 */
export async function readSecret(reference: SecretReference, bytesMax: number): Promise<Secret> {
  if (reference.kind === "env") return readVariable(reference.name, bytesMax);
  const path = resolve(reference.path);
  const source = `file:${path}`;
  // Not from the engine's pool of small buffers, where it would lie beside everything else.
  const buffer = new Uint8Array(bytesMax + 1);
  try {
    const length = await readFile(path, buffer);
    return { content: buffer.subarray(0, length), source };
  } catch (error) {
    buffer.fill(0);
    const { code } = error as NodeJS.ErrnoException;
    throw unreadable(source, REASON_BY_CODE[code ?? ""] ?? code ?? "it cannot be read");
  }
}

async function readFile(path: string, buffer: Uint8Array): Promise<number> {
  const file = await open(path, "r");
  try {
    let length = 0;
    while (length < buffer.length) {
      // Without a position, so that a pipe (<(pass show disk)) serves as well.
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length;
  } finally {
    await file.close();
  }
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
};

function unreadable(source: string, reason: string): PenstockError {
  return new PenstockError({
    code: "secret-unreadable",
    message: `cannot read the secret ${source}: ${reason}`,
    details: { source },
  });
}
