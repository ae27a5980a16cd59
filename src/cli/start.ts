/**
 * `npm start`: four engines on this machine, the fourth with a mirror of what the three others
 * share; a client process that verifies it; with --demo and --check one engine is killed under
 * load; then a live view until Ctrl-C.
 *
 *   engines serving --> verified [--> one killed, verified] --> live --Ctrl-C--> gone
 *
 * Whatever happens, all processes are gone when this ends. The disk is the user's and is never
 * written to from here: what is verified is a second, scratch disk of the same engines.
 */

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeDataFolder } from "../engine/data-directory.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { attachHelp } from "./attach-help.ts";
import { ExitCode } from "./exit-code.ts";
import { LiveView } from "./live-view.ts";
import { type LoadLine, LoadProcess } from "./load-process.ts";
import { StopSignals } from "./process-end.ts";
import { Cluster, type LegView, type WantedPort } from "./start-cluster.ts";
import { NBD_PORT_DEFAULT, NVME_PORT_DEFAULT, type StartOptions } from "./start-options.ts";
import type { VerifySummary } from "./verify-export.ts";

const DISKS = [
  { name: "disk", size: "1GiB" },
  { name: "scratch", size: "256MiB" },
] as const;
const DISK = 0;
const SCRATCH = 1;
const VERIFY_BYTES = 32 * 2 ** 20;
const LOAD_BYTES = 16 * 2 ** 20;
/** Acknowledged writes before the blow, and after it. */
const LOAD_WRITES = 500;
/** engine-2. */
const VICTIM = 1;
const FAULT_MS_MAX = 30_000;
const FAULT_STEP_MS = 20;
/** How long a demonstration lets people look, before the blow and after it. */
const LOOK_MS = 4000;
const SEED_RANGE = 2 ** 31;
const MB = 1e6;

/** The programs of the processes. */
export interface StartPrograms {
  readonly engine: string;
  readonly client: string;
}

/** @returns the exit code. @throws PenstockError when it did not work */
export async function start(options: StartOptions, programs: StartPrograms): Promise<ExitCode> {
  const signals = new StopSignals();
  const folder = options.check ? join(options.dataDir, `check-${process.pid}`) : options.dataDir;
  await makeDataFolder(folder);
  let cluster: Cluster | null = null;
  try {
    const { io, port, nvmePort } = options;
    cluster = await Cluster.start({
      folder,
      program: programs.engine,
      io,
      disks: DISKS,
      nvmePort: wantedPort(nvmePort, NVME_PORT_DEFAULT),
      nbdPort: wantedPort(port, NBD_PORT_DEFAULT),
    });
    // From here a second signal ends the engines the hard way, and us with them.
    const started = cluster;
    signals.exitAtOnce = (code) => {
      started.kill();
      process.exit(code);
    };
    return await new Session(started, { options, signals, client: programs.client }).run();
  } finally {
    await cluster?.stop();
    if (options.check) await rm(folder, { recursive: true, force: true });
    signals.close();
  }
}

/** What is done with the engines once they serve. */
class Session {
  readonly #cluster: Cluster;
  readonly #options: StartOptions;
  readonly #signals: StopSignals;
  readonly #client: string;
  readonly #live: LiveView;

  constructor(
    cluster: Cluster,
    parts: {
      readonly options: StartOptions;
      readonly signals: StopSignals;
      readonly client: string;
    },
  ) {
    this.#cluster = cluster;
    this.#options = parts.options;
    this.#signals = parts.signals;
    this.#client = parts.client;
    this.#live = new LiveView(cluster);
  }

  async run(): Promise<ExitCode> {
    const { check, demo } = this.#options;
    this.#introduce();
    const verified = await this.#unlessStopped(this.#verify());
    if (verified === undefined) return await this.#stop();
    print(`Verified ${describe(verified)}`);
    let load: LoadLine | undefined;
    if (check || demo) {
      load = await this.#demonstrate();
      if (load === undefined) return await this.#stop();
    }
    if (check) return await this.#finishCheck(verified, load);
    this.#explain();
    this.#live.start();
    await this.#unlessStopped(new Promise<never>(() => undefined));
    this.#live.stop();
    return await this.#stop();
  }

  #introduce(): void {
    const { legs, mirror, repairedFrom } = this.#cluster;
    if (repairedFrom.size > 0) {
      const sources = [...repairedFrom].map(([disk, leg]) => `${disk} of engine-${leg + 1}'s`);
      print(`The last run ended with legs that may differ: all are copies, ${sources.join(", ")}.`);
    }
    for (const { name, child, uris } of legs) {
      print(`${name}, process ${child.pid}, shares a file: ${uris[DISK]}`);
    }
    const { name, child, uris, nbdUris } = mirror;
    print(`${name}, process ${child.pid}, shares a mirror of the three: ${uris[DISK]}`);
    print(`and the same over NBD: ${nbdUris[DISK]}`);
  }

  /** Undefined: told to stop. @throws when `step` does, or when the mirror's engine ends */
  async #unlessStopped<T>(step: Promise<T>): Promise<T | undefined> {
    const died = this.#cluster.mirror.child.ended.then(async ({ stderr }): Promise<never> => {
      // Told to stop as we are, by a signal to all.
      if (this.#signals.isStopped) return await new Promise<never>(() => undefined);
      throw endedError(stderr);
    });
    return (await Promise.race([step, this.#signals.stopped, died])) ?? undefined;
  }

  /** The client process; killed when we are to stop. */
  async #verify(): Promise<VerifySummary> {
    const { uris, nbdUris } = this.#cluster.mirror;
    const [uri, nbdUri] = [uris[SCRATCH] ?? "", nbdUris[SCRATCH] ?? ""];
    const seed = randomSeed();
    const args = [this.#client, "once", String(VERIFY_BYTES), String(seed), uri, nbdUri];
    const child = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    void this.#signals.stopped.then(() => child.kill("SIGKILL"));
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString("utf8");
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    if (code === 0) return JSON.parse(stdout) as VerifySummary;
    const message = `verifying ${uri} with seed ${seed} failed: ${stderr.trim()}`;
    throw new PenstockError({ code: "check-failed", message });
  }

  /**
   * Kills an engine under load, and shows that its clients notice nothing and lose nothing.
   * @returns undefined: told to stop
   */
  async #demonstrate(): Promise<LoadLine | undefined> {
    const { legs, mirror } = this.#cluster;
    const survivors = legs.filter((_leg, index) => index !== VICTIM);
    const uris = [mirror, ...survivors].map((engine) => engine.uris[SCRATCH] ?? "");
    const options = { program: this.#client, lengthBytes: LOAD_BYTES, seed: randomSeed(), uris };
    const load = new LoadProcess(options);
    try {
      return await this.#unlessStopped(
        this.#killUnder(
          load,
          survivors.map(({ name }) => name),
        ),
      );
    } finally {
      load.kill();
      this.#live.stop();
    }
  }

  async #killUnder(load: LoadProcess, survivors: readonly string[]): Promise<LoadLine> {
    const victim = this.#cluster.legs[VICTIM];
    if (victim === undefined) throw new TypeError("there is no engine to kill");
    await load.progress(LOAD_WRITES);
    await this.#letLook();
    const before = load.last.acknowledgedWrites;
    victim.child.kill();
    await victim.child.ended;
    print(`kill -9 of ${victim.name}, process ${victim.child.pid}, after ${before} writes ...`);
    const { state, reason } = await this.#faulted(VICTIM);
    print(`The mirror shows ${victim.name} as ${state}: ${reason}`);
    await load.progress(LOAD_WRITES);
    await this.#letLook();
    const end = await load.finish();
    const compared = formatSize(end.comparedBytes ?? 0);
    print(
      `Nothing was lost: ${end.acknowledgedWrites} writes, none failed; the mirror, ` +
        `${survivors.join(" and ")} hold them all (${compared} compared).`,
    );
    return end;
  }

  async #faulted(leg: number): Promise<LegView> {
    const endMs = performance.now() + FAULT_MS_MAX;
    while (performance.now() < endMs) {
      const view = (await this.#cluster.legStates())[leg];
      if (view?.state === "faulted") return view;
      await sleep(FAULT_STEP_MS);
    }
    const waited = `after ${FAULT_MS_MAX} ms`;
    const message = `the mirror does not show engine-${leg + 1} as faulted ${waited}`;
    throw new PenstockError({ code: "check-failed", message });
  }

  async #letLook(): Promise<void> {
    if (this.#options.check) return;
    this.#live.start();
    await sleep(LOOK_MS);
    this.#live.stop();
  }

  #explain(): void {
    const { uris, nbdUris, child } = this.#cluster.mirror;
    const running = this.#cluster.legs.findLast((leg) => leg.child.end === null);
    print(
      attachHelp({
        nvmeUri: uris[DISK] ?? "",
        nbdUri: nbdUris[DISK] ?? "",
        scratchUri: uris[SCRATCH] ?? "",
        scratchNbdUri: nbdUris[SCRATCH] ?? "",
        engine: child.address,
        victim: running?.child.pid ?? 0,
      }),
    );
  }

  async #finishCheck(verified: VerifySummary, load: LoadLine | undefined): Promise<ExitCode> {
    const code = await this.#stop();
    if (code !== ExitCode.ok) {
      print("check failed");
      return code;
    }
    print(
      `check passed: 4 engines, ${formatSize(verified.bytes)} verified through a mirror of 3; ` +
        `1 engine killed under load, ${load?.acknowledgedWrites ?? 0} writes acknowledged, 0 lost.`,
    );
    return code;
  }

  async #stop(): Promise<ExitCode> {
    const end = await this.#cluster.stop();
    if (end.code === 0) {
      print("Engines stopped: everything is flushed.");
      return ExitCode.ok;
    }
    process.stderr.write(end.stderr);
    return ExitCode.failure;
  }
}

function describe(summary: VerifySummary): string {
  const { bytes, requests, writeMs, readMs } = summary;
  const rate = (ms: number): string => `${(bytes / MB / (ms / 1000)).toFixed(0)} MB/s`;
  return (
    `${formatSize(bytes)} from a client process in ${requests} requests: ` +
    `written over NVMe/TCP at ${rate(writeMs)}, flushed, read back over NBD at ${rate(readMs)}, ` +
    "every byte right."
  );
}

function wantedPort(asked: number | undefined, port: number): WantedPort {
  if (asked !== undefined) return { port: asked, onBusy: undefined };
  return { port, onBusy: () => print(`Port ${port} is busy: taking another one.`) };
}

function endedError(stderr: string): PenstockError {
  const words = stderr.trim();
  return new PenstockError({
    code: "engine-failed",
    message: `the engine with the mirror has ended by itself${words === "" ? "" : `: ${words}`}`,
  });
}

function randomSeed(): number {
  return Math.floor(Math.random() * SEED_RANGE);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
