/**
 * RemoteTarget: a host of a simulated world that shares a file, or memory, over a network: its
 * process is killed and started again, its host loses power.
 *
 * It tells a volume's history what was lost, and knows which errors its users may meet.
 */

import type { Device } from "../../block/device.ts";
import { FileDevice } from "../../devices/file.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import type { FakeConnection } from "../../reactor/fake/fake-network.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { History } from "../history.ts";
import type { Run } from "../run.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";
import type { SimProcess } from "../sim-process.ts";

export const DISK_PATH = "/disk.img";
const PORT = 7;
/** Time from a failed sync that somebody heard of to the new start. */
const RENEWAL_MS = 4;
const POLL_MS = 10;
/** Nothing that was on its way takes longer than this, unless it hangs. */
const SETTLED_MS = 250;

/** How a device is shared. */
export type Serve = (reactor: Reactor, device: Device, address: SocketAddress) => Promise<void>;

export interface RemoteTargetOptions {
  readonly host: string;
  readonly source: "file" | "malloc";
  readonly sectorCount: number;
  readonly blockSectors: number;
  readonly direct: boolean;
  /** What it holds is this volume's: it is told of losses. Null: somebody else does that. */
  readonly history: History | null;
  readonly serve: Serve;
}

export class RemoteTarget {
  readonly address: SocketAddress;
  readonly process: SimProcess<Device>;
  /** Power losses of its host, ends of a process with memory, or after a failed sync. */
  losses = 0;
  readonly #run: Run;
  readonly #options: RemoteTargetOptions;
  #openings = 0;
  /** A sync has failed in this process: it refuses everything. */
  #isSuspect = false;
  #failedSyncs = 0;

  constructor(run: Run, options: RemoteTargetOptions) {
    this.#run = run;
    this.#options = options;
    this.address = { kind: "tcp", host: options.host, port: PORT };
    this.process = run.world.process({
      name: options.host,
      host: options.host,
      boot: async (reactor) => {
        const device = await this.#open(reactor);
        await options.serve(reactor, device, this.address);
        return device;
      },
      onUp: () => {
        this.#isSuspect = false;
      },
      onDown: () => this.#down(),
    });
  }

  get host(): string {
    return this.#options.host;
  }

  get isReady(): boolean {
    return this.process.isRunning && !this.#isSuspect;
  }

  /** Called by the owner of the world, for its own host. */
  powerLost(): void {
    this.losses++;
    if (this.#options.source === "file") this.#options.history?.powerLoss(false);
  }

  /** A sync has failed, so they say: it is started again, as people would do. */
  suspect(): void {
    if (this.#isSuspect || !this.process.isUp) return;
    this.#isSuspect = true;
    const { program } = this.process;
    this.#run.world.after(RENEWAL_MS, () => {
      if (this.process.program === program && this.#isSuspect) this.renew();
    });
  }

  /** Ends its process and starts it again. */
  renew(): void {
    this.#run.world.trace(`${this.host} is started again`);
    this.process.kill();
    this.process.start();
  }

  /** Syncs that its disk has failed, whether or not somebody heard of it. */
  get syncsFailed(): number {
    return this.#run.world.diskFaults.reduce((sum, { host, on, effect, fault }) => {
      return host === this.host && on === "sync" && effect === "error" ? sum + fault.hits : sum;
    }, 0);
  }

  /** Its disk has failed something at all. */
  get hasFailed(): boolean {
    const { world } = this.#run;
    return world.diskFaults.some(({ host, effect, fault }) => {
      return host === this.host && effect === "error" && fault.hits > 0;
    });
  }

  /**
   * Waits until nothing that came from `host` can be done here any more. Nothing new may come from
   * there meanwhile.
   */
  settled(host: string): Promise<void> {
    const { world } = this.#run;
    let quietMs = 0;
    return new Promise((resolve) => {
      const look = (): void => {
        quietMs = this.#isQuiet(host) ? quietMs + POLL_MS : 0;
        const isOver = quietMs > 0 && this.connections(host).every(({ isOver }) => isOver);
        if (isOver || quietMs >= SETTLED_MS) resolve();
        else world.after(POLL_MS, look);
      };
      look();
    });
  }

  /** Of a host to this one, oldest first. */
  connections(host: string): readonly FakeConnection[] {
    const key = `${this.host}:${PORT}`;
    const { connections } = this.#run.world.fake.network;
    return connections.filter((each) => each.key === key && each.client.host === host);
  }

  /** Everything that came has been read, and nothing more is on its way. */
  #isQuiet(host: string): boolean {
    if (this.process.isPaused) return false;
    const { world } = this.#run;
    const { socketBufferBytes } = world.fake.network;
    const hangs = world.diskFaults.some((each) => {
      return each.host === this.host && each.fault.hungCount > 0;
    });
    return (
      !hangs &&
      this.connections(host).every(({ client, server }) => {
        return (
          server.isReleased ||
          (client.isReleased && client.outgoing.roomBytes === socketBufferBytes)
        );
      })
    );
  }

  #open(reactor: Reactor): Promise<Device> {
    const { source, sectorCount, blockSectors, direct, host } = this.#options;
    const sizeBytes = sectorCount * SECTOR_BYTES;
    const blockSizeBytes = blockSectors * SECTOR_BYTES;
    if (source === "file") {
      return FileDevice.open(reactor, { path: DISK_PATH, sizeBytes, direct, blockSizeBytes });
    }
    const instanceId = uuidOfName(`${host} ${this.#openings++}`);
    return MallocDevice.open(reactor, { name: host, sizeBytes, blockSizeBytes, instanceId });
  }

  #down(): void {
    const { source, history } = this.#options;
    if (source === "malloc") {
      this.losses++;
      history?.wipe(false);
    }
    // A sync that failed as its process died: the kernel has told nobody.
    const failed = this.syncsFailed;
    if (failed > this.#failedSyncs) {
      history?.doom();
      this.losses++;
    }
    this.#failedSyncs = failed;
  }
}
