/**
 * A Docker daemon of a test's own, and containers on it that run this very tree.
 *
 *   starting --its API answers--> up --start()--> containers --after the test--> all gone
 *
 * Talks to the daemon's HTTP API over its socket: no client program is needed. It has no network
 * and changes no packet filter. Its image is empty: Node, its libraries and this repository are
 * mounted, read-only. A container ends by itself after a while, should the test be killed.
 * spec: Docker Engine API 1.41
 */

import { realpathSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { spawnTracked } from "./child-processes.ts";
import { cleanUp, type TestScope } from "./cleanup.ts";
import { REPOSITORY_ROOT, withTimeout } from "./penstock-process.ts";
import { runCommand, tail } from "./run-command.ts";
import { makeTempDir } from "./temp-dir.ts";

const IMAGE = "penstock-test";
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 60_000;
const STEP_MS = 50;
/** Of a container, by busybox: nobody else would end one whose test was killed. */
const LIFE_S_MAX = "300";
const LIFE_LIMIT = ["/bin/busybox", "timeout", "-s", "KILL", LIFE_S_MAX];
/** Two blocks of zeroes end a tar archive; this one has nothing else. */
const EMPTY_ARCHIVE = Buffer.alloc(1024);

interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface ContainerOptions {
  readonly command: readonly string[];
  /** Writable in the container at `mountAt`. */
  readonly folder: string;
  readonly mountAt: string;
  /** More of the API's HostConfig. */
  readonly hostConfig?: Readonly<Record<string, unknown>>;
}

export class DockerDaemon {
  readonly #socket: string;
  #log = "";

  /** Null, with the daemon's words as a diagnostic, where none can run: it wants a real root. */
  static async start(t: TestScope): Promise<DockerDaemon | string> {
    const folder = makeTempDir(t);
    const daemon = new DockerDaemon(join(folder, "sock"));
    return (await daemon.#run(t, folder)) ? daemon : tail(daemon.#log);
  }

  private constructor(socket: string) {
    this.#socket = socket;
  }

  /** Of the daemon, such as "20.10.24+dfsg1". */
  async version(): Promise<string> {
    return JSON.parse(await this.#call("GET", "/version")).Version;
  }

  /** Runs `command` in a container, which is removed after the test. */
  async start(t: TestScope, options: ContainerOptions): Promise<DockerContainer> {
    const { command, folder, mountAt, hostConfig } = options;
    const readOnly = (await pathsOfProgram()).map((path) => `${path}:${path}:ro`);
    const created = await this.#call("POST", "/containers/create", {
      Image: IMAGE,
      Cmd: [...LIFE_LIMIT, ...command],
      HostConfig: {
        NetworkMode: "none",
        Binds: [...readOnly, `${folder}:${mountAt}`],
        ...hostConfig,
      },
    });
    const path = `/containers/${JSON.parse(created).Id}`;
    cleanUp(t, async () => {
      await this.#call("DELETE", `${path}?force=1`);
    });
    const container = new DockerContainer((method, rest) => this.#call(method, path + rest));
    await container.start();
    return container;
  }

  async #run(t: TestScope, folder: string): Promise<boolean> {
    const args = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--log-level=warn"];
    const folders = ["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec")];
    const own = ["--pidfile", join(folder, "pid"), "--host", `unix://${this.#socket}`];
    const child = spawnTracked("dockerd", [...args, ...folders, ...own], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#log += chunk.toString("utf8");
    });
    let isGone = false;
    const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
    void gone.then(() => {
      isGone = true;
    });
    cleanUp(t, async () => {
      child.kill("SIGTERM");
      await withTimeout(gone, STOP_MS_MAX, () => `dockerd does not end:\n${tail(this.#log)}`);
    });
    const untilMs = performance.now() + START_MS_MAX;
    while (!isGone && performance.now() < untilMs) {
      const answer = await this.#ask("GET", "/_ping").catch(() => null);
      if (answer?.status === 200) {
        await this.#call("POST", `/images/create?fromSrc=-&repo=${IMAGE}`, EMPTY_ARCHIVE);
        return true;
      }
      await sleep(STEP_MS);
    }
    return false;
  }

  async #call(method: string, path: string, body?: object): Promise<string> {
    const answer = await this.#ask(method, path, body);
    if (answer.status < 300) return answer.body;
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body}\n${tail(this.#log)}`);
  }

  #ask(method: string, path: string, body?: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const isBytes = Buffer.isBuffer(body);
      const type = isBytes ? "application/x-tar" : "application/json";
      const options = { socketPath: this.#socket, method, path, agent: false as const };
      const call = request({ ...options, headers: { "content-type": type } }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({ status: response.statusCode ?? 0, body: text });
        });
      });
      call.on("error", reject);
      call.end(isBytes ? body : body === undefined ? "" : JSON.stringify(body));
    });
  }
}

export class DockerContainer {
  readonly #call: (method: string, rest: string) => Promise<string>;

  constructor(call: (method: string, rest: string) => Promise<string>) {
    this.#call = call;
  }

  /** Also again, after its end. */
  async start(): Promise<void> {
    await this.#call("POST", "/start");
  }

  /** Signals its first process and waits for the end. @returns the exit code */
  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    const ended = this.#call("POST", "/wait");
    await this.#call("POST", `/kill?signal=${signal}`);
    return JSON.parse(await ended).StatusCode;
  }

  /** What it has said, with the API's frames in between. */
  async log(): Promise<string> {
    return await this.#call("GET", "/logs?stdout=1&stderr=1");
  }
}

/** Node, what the loader wants for it, and this tree with its packages, wherever they are. */
async function pathsOfProgram(): Promise<readonly string[]> {
  const { stdout } = await runCommand("ldd", [process.execPath]);
  const libraries = stdout.match(/\/\S+/g) ?? [];
  const packages = realpathSync(join(REPOSITORY_ROOT, "node_modules"));
  const program = [process.execPath, "/bin/busybox", REPOSITORY_ROOT, packages];
  return [...new Set([...program, ...libraries.filter((path) => !path.endsWith(":"))])];
}
