/**
 * NBD servers of others (nbdkit, qemu-nbd) on a Unix socket, for tests of our initiator.
 *
 * Each is a child process of the test and is ended by its own id.
 */

import { existsSync, unlinkSync } from "node:fs";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { spawnTracked } from "./child-processes.ts";

export interface ForeignServer {
  readonly socketPath: string;
  /** kill -9, and its socket goes. Idempotent. */
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

const START_MS_MAX = 60_000;
const LOOK_MS = 5;

/** Starts nbdkit; `args` are filters, the plugin and its parameters. */
export function startNbdkit(socketPath: string, args: readonly string[]): Promise<ForeignServer> {
  return start("nbdkit", ["--foreground", "--unix", socketPath, ...args], socketPath);
}

/** Starts qemu-nbd for up to eight clients at a time. */
export function startQemuNbd(socketPath: string, args: readonly string[]): Promise<ForeignServer> {
  const own = ["--persistent", "--shared=8", "--socket", socketPath];
  return start("qemu-nbd", [...own, ...args], socketPath);
}

async function start(
  program: string,
  args: readonly string[],
  socketPath: string,
): Promise<ForeignServer> {
  const child = spawnTracked(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr?.on("data", (text: Buffer) => {
    errors += text.toString();
  });
  let isGone = false;
  const exited = new Promise<void>((resolve) => {
    const gone = (): void => {
      isGone = true;
      resolve();
    };
    child.once("close", gone);
    child.once("error", gone);
  });
  const untilMs = Date.now() + START_MS_MAX;
  while (!(await answers(socketPath))) {
    if (isGone || Date.now() > untilMs) {
      child.kill("SIGKILL");
      throw new Error(`${program} ${args.join(" ")} does not listen: ${errors}`);
    }
    await sleep(LOOK_MS);
  }
  return {
    socketPath,
    signal: (signal) => void child.kill(signal),
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
      if (existsSync(socketPath)) unlinkSync(socketPath);
    },
  };
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(socketPath);
    probe.once("error", () => resolve(false));
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
  });
}
