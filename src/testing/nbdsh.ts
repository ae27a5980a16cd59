/**
 * Runs a Python script in nbdsh (libnbd's shell) against an export.
 *
 * The script sees PRELUDE's helpers and its own parameters as the dictionary `P`; it passes when it
 * ends without an exception. A failed run shows the Python traceback.
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";

import { missingTools } from "./require-tool.ts";
import { runCommand } from "./run-command.ts";

/** Debian's python3-libnbd belongs to Debian's Python, whatever else comes first in PATH. */
const PATH = `/usr/bin:/bin:${process.env.PATH ?? ""}`;
const TIMEOUT_MS_DEFAULT = 60_000;

const PRELUDE = `
import json, os, random, sys, threading, time

P = json.loads(os.environ["PENSTOCK_TEST_PARAMETERS"])

def connect(uri=None, *, strict=True, structured=True, block_size=True, contexts=False):
    "A handle in transmission phase. strict=False lets us send what libnbd would refuse."
    handle = nbd.NBD()
    if not strict:
        handle.set_strict_mode(0)
    handle.set_request_structured_replies(structured)
    handle.set_request_block_size(block_size)
    if contexts:
        handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    handle.connect_uri(uri or P["uri"])
    return handle

def negotiate(uri=None):
    "A handle in option mode."
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_uri(uri or P["uri"])
    return handle

def fails(codes, call, *arguments):
    "The call must fail with one of the given errno names."
    codes = codes if isinstance(codes, tuple) else (codes,)
    try:
        call(*arguments)
    except nbd.Error as error:
        what = f"{call.__name__}{arguments[1:]}"
        assert error.errno in codes, f"{what}: {error} ({error.errno}), not {codes}"
        return
    raise AssertionError(f"{call.__name__}{arguments[1:]} succeeded, expected {codes}")

def equal(got, expected, what=""):
    if got != expected:
        if isinstance(got, (bytes, bytearray)):
            at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), -1)
            lengths = f"{len(got)} and {len(expected)} bytes"
            raise AssertionError(f"{what}: {lengths} differ first at {at}")
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")

def extents(handle, length, offset, flags=0):
    "What one block status says: [(length, state)]."
    found = []
    def collect(name, start, entries, error):
        assert name == nbd.CONTEXT_BASE_ALLOCATION, name
        equal(start, offset, "offset of block status")
        found.extend(zip(entries[0::2], entries[1::2]))
    handle.block_status(length, offset, collect, flags)
    return found

def all_extents(handle, size):
    "The whole map, by as many block status commands as it takes."
    found, offset = [], 0
    while offset < size:
        part = extents(handle, size - offset, offset)
        assert part and all(length > 0 for length, _ in part), part
        for length, state in part:
            found.append((offset, length, state))
            offset += length
    return found
`;

export type NbdshParameters = Readonly<Record<string, string | number | boolean>>;

export function missingNbdsh(...alsoNeeded: readonly string[]): string | false {
  return missingTools("nbdsh", "/usr/bin/python3", ...alsoNeeded);
}

/** Runs the script at `scriptPath`; resolves with what it printed. */
export async function runNbdsh(
  scriptPath: string,
  parameters: NbdshParameters,
  timeoutMs: number = TIMEOUT_MS_DEFAULT,
): Promise<string> {
  const script = readFileSync(scriptPath, "utf8");
  try {
    const { stdout } = await runCommand("nbdsh", ["-c", PRELUDE, "-c", script], {
      timeoutMs,
      environment: { PATH, PENSTOCK_TEST_PARAMETERS: JSON.stringify(parameters) },
    });
    return stdout;
  } catch (error) {
    throw new Error(`${basename(scriptPath)}: ${stderrOf(error)}`);
  }
}

/** The command line holds both scripts, which nobody wants to read in a failure. */
function stderrOf(error: unknown): string {
  const text = String(error);
  const start = text.indexOf("--- stderr");
  return start === -1 ? text.slice(-4000) : text.slice(start);
}
