/**
 * What the bench needs to know of a server, and the life of one server process.
 *
 *   launch --accepts connections--> running --stop()--> gone
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { spawnTracked } from "../../src/testing/child-processes.ts";
import { tail } from "../../src/testing/run-command.ts";

const READY_TIMEOUT_MS = 20_000;
const READY_POLL_MS = 20;
const STOP_TIMEOUT_MS = 10_000;

/** What a server is to serve. Each server has a file of its own: some lock theirs. */
export type Backing =
  | { readonly kind: "memory"; readonly sizeBytes: number }
  | { readonly kind: "file"; readonly path: string; readonly sizeBytes: number };

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Null: the program prints `ready URI` itself. */
  readonly uri: string | null;
}

export interface ServerAdapter {
  /** As in the tables and in --servers. */
  readonly name: string;
  readonly isPenstock: boolean;
  /** Programs without which it is skipped, by name. */
  readonly tools: readonly string[];
  /** Prints the version in its first line. */
  readonly versionCommand: readonly [string, ...string[]];
  /** Whether it has a memory disk of its own; else it gets a file on tmpfs in its place. */
  readonly hasMemoryDisk: boolean;
  /** `port` is free on 127.0.0.1. The process must stay in the foreground. */
  command(backing: Backing, port: number): ServerCommand;
}

export interface RunningServer {
  readonly adapter: ServerAdapter;
  readonly pid: number;
  readonly uri: string;
  /** The command line without the pinning, for the record. */
  readonly commandLine: string;
  stop(): Promise<void>;
}

/** Starts a server on one core (null: wherever the kernel likes); resolves when it serves. */
export async function launchServer(
  adapter: ServerAdapter,
  backing: Backing,
  core: number | null,
): Promise<RunningServer> {
  const port = await freePort();
  const { program, args, uri } = adapter.command(backing, port);
  const line = pinned(core, [program, ...args]);
  // taskset becomes the program by exec, so the pid is the server's.
  const child = spawnTracked(line[0], line.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = tail(stderr + chunk.toString("utf8"));
  });
  const ready = Promise.withResolvers<string>();
  child.once("error", ready.reject);
  child.once("exit", () => ready.reject(new Error(`ended before it served: ${stderr.trim()}`)));
  const readyTimer = setTimeout(
    () => ready.reject(new Error(`does not serve after ${READY_TIMEOUT_MS} ms: ${stderr.trim()}`)),
    READY_TIMEOUT_MS,
  );
  watchOutput(child, ready.resolve);
  if (uri !== null) void pollPort(port, child).then(() => ready.resolve(uri));
  try {
    const readyUri = await ready.promise;
    const commandLine = [program, ...args].join(" ");
    return { adapter, pid: child.pid ?? 0, uri: readyUri, commandLine, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    throw new Error(`${adapter.name}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    clearTimeout(readyTimer);
  }
}

/** A command line that runs on one core only. */
export function pinned(
  core: number | null,
  line: readonly [string, ...string[]],
): [string, ...string[]] {
  return core === null ? [...line] : ["taskset", "-c", String(core), ...line];
}

function watchOutput(child: ChildProcess, onReady: (uri: string) => void): void {
  if (child.stdout === null) return;
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("ready ")) onReady(line.slice("ready ".length).trim());
  });
}

/** Resolves when the port takes a connection, or when the server has ended. */
async function pollPort(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    if (await accepts(port)) return;
    await sleep(READY_POLL_MS);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  child.kill("SIGTERM");
  await exited;
  clearTimeout(timer);
}
