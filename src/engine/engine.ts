/**
 * Engine: the data-plane daemon. Holds pipes on reactors, stores them, and is driven by RPC.
 *
 *   data directory taken --> RPC listens --> reactors start --> serving, while stored pools open,
 *     and then the pipes that stand on them
 *     close(): RPC refuses changes --> pipes drained, flushed, closed --> pools closed
 *       --> RPC ends --> folder free
 *
 * On the main thread, which has no data path.
 */

import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { type EngineAddress, formatEngineAddress } from "../api/engine-address.ts";
import { PipeHost, type PipeHostOptions } from "../pipe/pipe-host.ts";
import { RealClock } from "../reactor/real-clock.ts";
import type { PoolEvent } from "../pool/pool-environment.ts";
import type { PenstockError } from "../util/errors.ts";
import { DataDirectory } from "./data-directory.ts";
import { type EngineEvent, EngineEvents } from "./engine-event.ts";
import { type EngineStats, gatherStats } from "./engine-stats.ts";
import { EngineHealth } from "./health-service.ts";
import { time } from "./messages.ts";
import { type MetricsPage, metricsAlone, withMetrics } from "./metrics-endpoint.ts";
import { metricsText } from "./metrics-text.ts";
import { PipeRegistry } from "./pipe-registry.ts";
import { PipeStore } from "./pipe-store.ts";
import { engineUuidOf } from "./engine-uuid.ts";
import { listDisks, type ListedDisk } from "./device-list.ts";
import { PoolRegistry } from "./pool-registry.ts";
import { addPoolServices } from "./pool-services.ts";
import { openPoolStore } from "./pool-store.ts";
import { ReplicaRegistry } from "./replica-registry.ts";
import { addReflection } from "./reflection-service.ts";
import { rpcHandler } from "./rpc-handler.ts";
import { type RpcHandler, RpcListener } from "./rpc-listener.ts";
import { addServices, type ServiceParts } from "./services.ts";
import { SnapshotRegistry } from "./snapshot-registry.ts";
import { addSnapshotService } from "./snapshot-services.ts";

export interface EngineOptions
  extends Omit<PipeHostOptions, "onEvent" | "onPoolEvent" | "onLegOut"> {
  readonly version: string;
  readonly dataDir: string;
  /** Where RPC is served; at least one. */
  readonly listen: readonly EngineAddress[];
  /** Where metrics are served and nothing else; they are on the addresses of the RPC, too. */
  readonly metrics?: readonly EngineAddress[];
  /** Set when a supervisor has started it again: which time, and why. */
  readonly restarted?: string;
  /** A bug of ours that ended one call: its stack. */
  onBug(stack: string): void;
}

/** Far above any pipe's text; requests carry little else. */
const REQUEST_BYTES_MAX = 256 * 1024;

interface EngineParts {
  readonly directory: DataDirectory;
  readonly events: EngineEvents;
  readonly host: PipeHost;
  readonly registry: PipeRegistry;
  readonly pools: PoolRegistry;
  readonly replicas: ReplicaRegistry;
  readonly snapshots: SnapshotRegistry;
  readonly clock: RealClock;
  readonly listeners: readonly RpcListener[];
  readonly metricsListeners: readonly RpcListener[];
}

interface Handlers {
  readonly rpc: RpcHandler;
  readonly metrics: RpcHandler;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #parts: EngineParts;
  readonly #health = new EngineHealth();
  readonly #startedMs = Date.now();
  readonly #startedAtMs = performance.now();
  #restored: Promise<void> = Promise.resolve();
  #closed: Promise<readonly PenstockError[]> | null = null;

  /** Settles when RPC is served. @throws PenstockError; then nothing is left behind */
  static async start(options: EngineOptions): Promise<Engine> {
    const undo: (() => Promise<unknown>)[] = [];
    try {
      return await Engine.#start(options, undo);
    } catch (thrown) {
      for (const step of undo.reverse()) await step();
      throw thrown;
    }
  }

  static async #start(options: EngineOptions, undo: (() => Promise<unknown>)[]): Promise<Engine> {
    const { level, dataDir, listen } = options;
    const holder = `penstock engine at ${listen.map(formatEngineAddress).join(", ")}`;
    const directory = await DataDirectory.take(dataDir, { level, holder });
    undo.push(() => directory.release());
    const store = await PipeStore.open(join(dataDir, "pipes"));
    const poolStore = await openPoolStore(join(dataDir, "pools"));
    const engineUuid = await engineUuidOf(dataDir, options.makeUuid);
    // Requests that come early wait. Sockets are made while no other thread makes files, since
    // the mode of both comes from the process's umask.
    const ready = Promise.withResolvers<Handlers>();
    const serve = async (address: EngineAddress, what: keyof Handlers): Promise<RpcListener> => {
      const answer: RpcHandler = (request, response) => {
        void ready.promise.then((handlers) => handlers[what](request, response));
      };
      const listener = await RpcListener.open(address, answer, { anyName: what === "metrics" });
      undo.push(() => listener.close());
      return listener;
    };
    const listeners: RpcListener[] = [];
    for (const address of listen) listeners.push(await serve(address, "rpc"));
    const metricsListeners: RpcListener[] = [];
    for (const address of options.metrics ?? []) {
      metricsListeners.push(await serve(address, "metrics"));
    }
    const nowMs = (): number => Date.now();
    const events = new EngineEvents(nowMs);
    const warning = { level: "warning", pipe: "" } as const;
    if (options.restarted !== undefined) {
      events.add({ ...warning, code: "engine-restarted", message: options.restarted });
    }
    if (directory.isOpenToOthers) {
      const message = `other users may write to ${dataDir}, expected mode 0700`;
      events.add({ ...warning, code: "data-dir-open", message });
    }
    const clock = new RealClock();
    const host = await PipeHost.start({
      ...options,
      onEvent: (pipeId, event) => events.add({ ...event, pipe: registry.nameOf(pipeId) }),
      onPoolEvent: (event) => events.add({ ...event, pipe: "", message: ofVolume(event) }),
      onLegOut: (pipeId, leg) => registry.legOut(pipeId, leg),
    });
    undo.push(() => host.close());
    const registry = new PipeRegistry({ ...options, host, store, events, clock, nowMs });
    const who = { holder, engineUuid, makeUuid: options.makeUuid };
    const pools = new PoolRegistry({
      ...{ host: host.pools, store: poolStore, events, clock, nowMs },
      ...who,
      onOpened: (name) => registry.poolOpened(name),
    });
    const replicas = new ReplicaRegistry({ pools, pipes: registry, host: host.pools, events });
    const snapshots = new SnapshotRegistry({ pools, replicas, host: host.pools, events });
    const engine = new Engine(options, {
      ...{ directory, events, host, registry, pools, replicas, snapshots, clock },
      ...{ listeners, metricsListeners },
    });
    // Nobody is told that there are no pipes before it is known.
    await registry.load();
    await pools.load();
    ready.resolve(engine.#handlers());
    engine.#restored = registry.openLoaded(pools.openLoaded());
    return engine;
  }

  private constructor(options: EngineOptions, parts: EngineParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** With real ports. */
  get listen(): readonly string[] {
    return this.#parts.listeners.map(({ address }) => formatEngineAddress(address));
  }

  /** Where metrics are served alone, with real ports. */
  get metrics(): readonly string[] {
    return this.#parts.metricsListeners.map(({ address }) => formatEngineAddress(address));
  }

  /** Gets everything that happens, and what has happened so far; settles when the engine ends. */
  async onEvent(listener: (event: EngineEvent) => void): Promise<void> {
    const never = new AbortController();
    for await (const event of this.#parts.events.watch(never.signal)) listener(event);
  }

  /**
   * Stops: pipes are drained, flushed and closed; what is stored stays as it is. Idempotent.
   * @returns what went wrong on the way; empty when all data that was acknowledged is safe
   */
  close(): Promise<readonly PenstockError[]> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<readonly PenstockError[]> {
    const { registry, pools, host, events, clock, directory } = this.#parts;
    const listeners = [...this.#parts.listeners, ...this.#parts.metricsListeners];
    for (const listener of listeners) listener.stopListening();
    this.#health.stop();
    const message = "the engine is being stopped";
    events.add({ level: "info", code: "engine-stopping", pipe: "", message });
    await directory.announceStop();
    const closing = host.close();
    await registry.close();
    await pools.close();
    await this.#restored;
    const failures = await closing;
    events.close();
    await Promise.all(listeners.map((listener) => listener.close()));
    clock.close();
    await directory.release();
    return failures;
  }

  #handlers(): Handlers {
    const { version, level, onBug } = this.#options;
    const page: MetricsPage = {
      text: async () => {
        const [stats, pools] = await Promise.all([this.#gatherStats(), this.#parts.pools.list()]);
        return await metricsText({ version, level, stats, pools });
      },
      onBug,
    };
    return { rpc: withMetrics(page, this.#handler()), metrics: metricsAlone(page) };
  }

  #gatherStats(pipe?: string): Promise<EngineStats> {
    const { registry, host } = this.#parts;
    return gatherStats({ registry, host, startedAtMs: this.#startedAtMs }, pipe);
  }

  #handler(): RpcHandler {
    const { host, registry, pools, replicas, snapshots, events } = this.#parts;
    const { onBug } = this.#options;
    return rpcHandler({
      onBug,
      routes: (router) => {
        const describe: ServiceParts["describe"] = () => this.#describe();
        const gather: ServiceParts["gatherStats"] = (pipe) => this.#gatherStats(pipe);
        addServices(router, { registry, events, describe, gatherStats: gather, onBug });
        const disks = (): Promise<readonly ListedDisk[]> => this.#listDisks();
        addPoolServices(router, { host: host.pools, pools, replicas, listDisks: disks, onBug });
        addSnapshotService(router, { snapshots, versions: host.pools.versions, onBug });
        this.#health.addTo(router, servicesOf(router));
        addReflection(router, servicesOf(router));
      },
      readMaxBytes: REQUEST_BYTES_MAX,
      // A misspelt field would be a default silently; JSON is for people.
      jsonOptions: { ignoreUnknownFields: false },
    });
  }

  async #listDisks(): Promise<readonly ListedDisk[]> {
    const { pools } = this.#parts;
    return await listDisks({
      poolOf: (device) => pools.poolOn(device),
      probe: (device) => pools.contentOf(device),
    });
  }

  #describe(): ReturnType<ServiceParts["describe"]> {
    const { version, level, reactors, dataDir } = this.#options;
    const states = this.#parts.registry.list().map(({ state }) => state);
    const count = (state: string): number => states.filter((each) => each === state).length;
    const [ready, failed] = [count("ready"), count("failed")];
    return {
      version,
      level,
      reactors,
      startTime: time(this.#startedMs),
      uptimeMs: BigInt(Math.floor(performance.now() - this.#startedAtMs)),
      processId: process.pid,
      dataDir,
      listen: [...this.listen],
      pipesReady: ready,
      pipesFailed: failed,
      pipesOther: states.length - ready - failed,
    };
  }
}

function ofVolume({ volume, message }: PoolEvent): string {
  const isNamed = volume === undefined || message.startsWith(`${volume}: `);
  return isNamed ? message : `${volume}: ${message}`;
}

function servicesOf(router: ConnectRouter): readonly DescService[] {
  return [...new Set(router.handlers.map(({ service }) => service))];
}
