/**
 * Runs a foreign program to its end and shows everything it said when it fails.
 *
 * Owns the child until it has exited and its pipes are closed. Output is bounded; a time-out kills
 * the whole process group.
 */

import { signalGroup, spawnTracked } from "./child-processes.ts";

const TIMEOUT_MS_DEFAULT = 120_000;
/** Enough for every listing in the tests; more means a program that runs away. */
const OUTPUT_BYTES_MAX = 32 * 1024 * 1024;
const SHOWN_CHARACTERS_MAX = 8_000;

export interface CommandOptions {
  /** Default two minutes: patience, for a loaded machine. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Written to standard input, which is then closed. Default: nothing. */
  readonly input?: string | Uint8Array;
  /** Default 0; "any" never fails because of the exit code. */
  readonly exitCode?: number | "any";
}

export interface CommandResult {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `program`; rejects with all of its output unless it ends as `options` expects. */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const expected = options.exitCode ?? 0;
  const shown = `${program} ${args.join(" ")}`;
  const child = spawnTracked(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: "C", ...options.environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout = new OutputCollector();
  const stderr = new OutputCollector();
  child.stdout?.on("data", (chunk: Buffer) => stdout.add(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.add(chunk));
  // A program that does not read its input makes EPIPE, which is its own business.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const ended = await new Promise<string | number>((resolve, reject) => {
    const timer = setTimeout(() => {
      signalGroup(child.pid ?? 0, "SIGKILL");
      resolve(`still running after ${timeoutMs} ms`);
    }, timeoutMs);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve(code ?? `ended by ${signal}`);
    });
  });
  const result = {
    exitCode: typeof ended === "number" ? ended : -1,
    stdout: stdout.text(),
    stderr: stderr.text(),
  };
  const timedOut = typeof ended === "string";
  if (timedOut || (expected !== "any" && ended !== expected)) {
    const how = timedOut ? ended : `exit code ${ended} instead of ${expected}`;
    const output = `--- stdout\n${tail(result.stdout)}\n--- stderr\n${tail(result.stderr)}`;
    throw new Error(`${tail(shown)}: ${how}\n${output}`);
  }
  return result;
}

/** The last part of a text, so that a failure stays readable. */
export function tail(text: string, characters: number = SHOWN_CHARACTERS_MAX): string {
  return text.length <= characters ? text : `[...]${text.slice(-characters)}`;
}

class OutputCollector {
  readonly #chunks: Buffer[] = [];
  #lengthBytes = 0;

  add(chunk: Buffer): void {
    if (this.#lengthBytes < OUTPUT_BYTES_MAX) {
      this.#chunks.push(chunk);
      this.#lengthBytes += chunk.length;
    }
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
