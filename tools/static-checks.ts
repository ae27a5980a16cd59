/**
 * The checks that run no product code: format, lint, types, tidy, dead code.
 *
 * Each is one child process; two run at a time, and a check's output is shown only when it fails.
 * Owns no state beyond the running children.
 */

import { spawn } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const PARALLEL_CHECKS = 2;
const OUTPUT_BYTES_MAX = 256 * 1024;
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];

export type StaticCheckName = "format" | "lint" | "types" | "tidy" | "dead code";

interface StaticCheck {
  readonly program: string;
  readonly args: readonly string[];
}

const bin = (name: string): string => join(ROOT, "node_modules", ".bin", name);

const CHECKS: Readonly<Record<StaticCheckName, StaticCheck>> = {
  types: { program: bin("tsc"), args: ["--noEmit"] },
  format: { program: bin("biome"), args: ["format", "."] },
  lint: { program: bin("biome"), args: ["lint", "--error-on-warnings", "."] },
  tidy: { program: process.execPath, args: [...NODE_FLAGS, "tools/tidy.ts"] },
  "dead code": { program: bin("knip"), args: ["--no-progress"] },
};

/** Runs the checks and prints one line each; resolves to the names of those that failed. */
export async function runStaticChecks(names: readonly StaticCheckName[]): Promise<string[]> {
  const waiting = [...names];
  const failed: string[] = [];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      if (!(await runOne(name))) {
        failed.push(name);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_CHECKS }, worker));
  return failed;
}

async function runOne(name: StaticCheckName): Promise<boolean> {
  const { program, args } = CHECKS[name];
  const startedMs = performance.now();
  const { succeeded, output } = await collect(program, args);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(`${succeeded ? "✔" : "✖"} ${name} (${seconds} s)\n`);
  if (!succeeded) {
    process.stdout.write(`${output.trimEnd()}\n`);
  }
  return succeeded;
}

function collect(
  program: string,
  args: readonly string[],
): Promise<{ readonly succeeded: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk: Buffer): void => {
      if (output.length < OUTPUT_BYTES_MAX) {
        output += chunk.toString();
      }
    };
    child.stdout.on("data", add);
    child.stderr.on("data", add);
    child.on("error", (error) => resolve({ succeeded: false, output: error.message }));
    child.on("close", (code) => resolve({ succeeded: code === 0, output }));
  });
}
