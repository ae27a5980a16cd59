/**
 * GuestShell: a guest that stays up and runs one script after the other, so that a test can do
 * something on this machine between two steps, and one boot (four seconds) serves many steps.
 *
 *   startGuestShell -> ready --run--> busy --> ready ... --stop--> off
 *
 * Scripts go through the serial line as one line of base64 each. They share nothing but the
 * guest's files and processes; `set -ex` holds in each. The test owns the shell, one run at a time.
 */

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { assert } from "../../util/assert.ts";
import { cleanUp, type TestScope } from "../cleanup.ts";
import { tail } from "../run-command.ts";
import { bootGuest, type GuestOptions } from "./boot-guest.ts";

/** A guest's boot, the slowest step and a loaded machine. */
const RUN_TIMEOUT_MS_DEFAULT = 120_000;
const GUEST_TIMEOUT_MS_DEFAULT = 300_000;

export type GuestShellOptions = Omit<GuestOptions, "script" | "onLine" | "exitCode">;

export interface RunOptions {
  readonly timeoutMs?: number;
  /** Default 0; "any" returns whatever it was. */
  readonly exitCode?: number | "any";
}

export interface RunResult {
  readonly exitCode: number;
  /** Standard output; of a script that failed also the end of its trace and standard error. */
  readonly output: string;
}

export class GuestShell {
  readonly #token: string;
  #send: ((text: string) => void) | undefined;
  #lines: string[] = [];
  #end: ((exitCode: number) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;

  /** Made by `startGuestShell`. */
  constructor(token: string) {
    this.#token = token;
  }

  /** Runs a script; its standard output without the last line's end. */
  async run(script: string, options: RunOptions = {}): Promise<string> {
    return (await this.try(script, { exitCode: 0, ...options })).output;
  }

  /** The same for scripts that may fail. */
  async try(script: string, options: RunOptions = {}): Promise<RunResult> {
    const ended = this.#next(options.timeoutMs ?? RUN_TIMEOUT_MS_DEFAULT, script);
    assert(this.#send !== undefined, "the guest is up");
    this.#send(`${Buffer.from(script).toString("base64")}\n`);
    const exitCode = await ended;
    const output = this.#lines.join("\n");
    const expected = options.exitCode ?? "any";
    if (expected !== "any" && exitCode !== expected) {
      throw new Error(`guest: exit code ${exitCode} of\n${script}\n--- output\n${tail(output)}`);
    }
    return { exitCode, output };
  }

  /** Turns the machine off; `startGuestShell` calls it too. */
  stop(): void {
    this.#send?.("stop\n");
    this.#send = undefined;
  }

  /** A line of the guest. */
  noteLine(line: string, send: (text: string) => void): void {
    this.#send ??= send;
    const at = line.indexOf(this.#token);
    if (at === -1) {
      this.#lines.push(line);
      return;
    }
    if (at > 0) {
      this.#lines.push(line.slice(0, at));
    }
    this.#end?.(Number(line.slice(at + this.#token.length)));
  }

  /** The guest is gone: what runs fails. */
  noteEnd(error: unknown): void {
    this.#send = undefined;
    this.#fail?.(error);
  }

  /** Settles with the exit code of what runs now. */
  #next(timeoutMs: number, what: string): Promise<number> {
    assert(this.#end === undefined, "one run at a time");
    this.#lines = [];
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#end = resolve;
    this.#fail = reject;
    const timer = setTimeout(() => {
      const output = tail(this.#lines.join("\n"));
      reject(new Error(`guest: still busy after ${timeoutMs} ms with\n${what}\n${output}`));
    }, timeoutMs);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#end = undefined;
      this.#fail = undefined;
    });
  }

  /** Settles when the guest takes scripts. */
  async ready(): Promise<void> {
    await this.#next(RUN_TIMEOUT_MS_DEFAULT, "its boot");
  }
}

/** Boots a guest; it is turned off after the test. */
export async function startGuestShell(
  t: TestScope,
  options: GuestShellOptions = {},
): Promise<GuestShell> {
  const token = `step-end-${randomUUID()} `;
  const shell = new GuestShell(token);
  const ready = shell.ready();
  const off = bootGuest({
    timeoutMs: GUEST_TIMEOUT_MS_DEFAULT,
    ...options,
    script: loopScript(token),
    onLine: (line, send) => shell.noteLine(line, send),
  });
  off.then(
    () => shell.noteEnd(new Error("guest: off")),
    (error) => shell.noteEnd(error),
  );
  await ready;
  cleanUp(t, async () => {
    shell.stop();
    await off;
  });
  return shell;
}

function loopScript(token: string): string {
  return `
set +x
printf '${token}0\\n'
while read -r line && [ "$line" != stop ]; do
  echo "$line" | base64 -d >/tmp/step
  result=0
  sh -ex /tmp/step </dev/null 2>/tmp/step.trace || result=$?
  cat /tmp/step.trace >&2
  [ $result = 0 ] || tail -n 15 /tmp/step.trace
  printf '${token}%d\\n' $result
done
`;
}
