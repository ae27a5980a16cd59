/**
 * LibraryShares: the NBD shares of one library reactor.
 *
 * Owns the NBD service, made with the first share and closed with the last. Openings and closings
 * run one after the other, so that two shares on one address find one listener.
 */

import type { Device } from "../block/device.ts";
import { nbdUri } from "../pipe/shares/nbd-share.ts";
import type { SharePlan } from "../pipe/stage-plan.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { addressKey, NbdService } from "../shares/nbd-service.ts";
import { assert } from "../util/assert.ts";
import { Lane } from "../util/lane.ts";

export interface LibraryShare {
  readonly uri: string;
  close(): Promise<void>;
}

export class LibraryShares {
  readonly #reactor: Reactor;
  #service: NbdService | null = null;
  /** Shares on each listener, by its address. */
  readonly #counts = new Map<string, number>();
  readonly #steps = new Lane();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** @throws PenstockError `export-exists`, `no-memory`, or why it cannot listen there */
  open(device: Device, plan: SharePlan): Promise<LibraryShare> {
    return this.#steps.run(async () => {
      this.#service ??= new NbdService(this.#reactor, {
        handOff: () => assert(false, "a library has one reactor"),
      });
      const service = this.#service;
      try {
        const address = await service.listen(plan.address);
        return await this.#add(service, device, plan, address);
      } finally {
        await this.#closeIfUnused();
      }
    });
  }

  async #add(
    service: NbdService,
    device: Device,
    plan: SharePlan,
    address: SocketAddress,
  ): Promise<LibraryShare> {
    const key = addressKey(address);
    const { exportName, readOnly, description, maxConnections } = plan;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    try {
      const exported = service.addExport(address, device, {
        name: exportName,
        readOnly,
        ...(description === "" ? {} : { description }),
        ...(maxConnections === undefined ? {} : { maxConnections }),
      });
      const close = (): Promise<void> =>
        this.#steps.run(async () => {
          await this.#leave(service, address);
          await service.removeExport(exported);
          await this.#closeIfUnused();
        });
      return { uri: nbdUri(address, exportName), close };
    } catch (thrown) {
      await this.#leave(service, address);
      throw thrown;
    }
  }

  async #leave(service: NbdService, address: SocketAddress): Promise<void> {
    const key = addressKey(address);
    const left = (this.#counts.get(key) ?? 0) - 1;
    if (left > 0) {
      this.#counts.set(key, left);
      return;
    }
    this.#counts.delete(key);
    await service.unlisten(address);
  }

  async #closeIfUnused(): Promise<void> {
    if (this.#counts.size > 0) return;
    const service = this.#service;
    this.#service = null;
    await service?.close();
  }
}
