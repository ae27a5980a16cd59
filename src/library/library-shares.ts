/**
 * LibraryShares: the shares of one library reactor.
 *
 * Owns its services, made with the first share and closed with the last. Openings and closings
 * run one after the other, so that two shares on one address find one listener.
 */

import type { Device } from "../block/device.ts";
import type { ShareKind, SharePlan } from "../pipe/share-plan.ts";
import { ShareServices } from "../pipe/share-services.ts";
import type { ShareContext } from "../pipe/shares/share-service.ts";
import { shareUri } from "../pipe/shares/share-uri.ts";
import { formatSocketAddress } from "../reactor/io-errors.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { Lane } from "../util/lane.ts";

export interface LibraryShare {
  readonly uri: string;
  close(): Promise<void>;
}

interface Listener {
  readonly kind: ShareKind;
  readonly address: SocketAddress;
  readonly key: string;
}

export class LibraryShares {
  readonly #reactor: Reactor;
  #services: ShareServices | null = null;
  /** Shares on each listener, by its address. */
  readonly #counts = new Map<string, number>();
  readonly #steps = new Lane();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** @throws PenstockError `export-exists`, `namespace-exists`, `no-memory`, or of listening */
  open(device: Device, plan: SharePlan, context: ShareContext): Promise<LibraryShare> {
    return this.#steps.run(async () => {
      this.#services ??= new ShareServices(this.#reactor, {
        handOff: () => assert(false, "a library has one reactor"),
      });
      const services = this.#services;
      try {
        const address = await services.listen(plan.kind, plan.address);
        return await this.#add({ services, device, plan, context, address });
      } finally {
        await this.#closeIfUnused();
      }
    });
  }

  async #add(opening: {
    readonly services: ShareServices;
    readonly device: Device;
    readonly plan: SharePlan;
    readonly context: ShareContext;
    readonly address: SocketAddress;
  }): Promise<LibraryShare> {
    const { services, device, plan, context, address } = opening;
    const listener = { kind: plan.kind, address, key: keyOf(plan.kind, address) };
    this.#counts.set(listener.key, (this.#counts.get(listener.key) ?? 0) + 1);
    try {
      const share = await services.open(address, device, plan, context);
      const close = (): Promise<void> =>
        this.#steps.run(async () => {
          await this.#leave(services, listener);
          await share.close();
          await this.#closeIfUnused();
        });
      return { uri: shareUri(plan, address), close };
    } catch (thrown) {
      await this.#leave(services, listener);
      throw thrown;
    }
  }

  async #leave(services: ShareServices, { kind, address, key }: Listener): Promise<void> {
    const left = (this.#counts.get(key) ?? 0) - 1;
    if (left > 0) {
      this.#counts.set(key, left);
      return;
    }
    this.#counts.delete(key);
    await services.unlisten(kind, address);
  }

  async #closeIfUnused(): Promise<void> {
    if (this.#counts.size > 0) return;
    const services = this.#services;
    this.#services = null;
    await services?.close();
  }
}

function keyOf(kind: ShareKind, address: SocketAddress): string {
  return `${kind} ${formatSocketAddress(address)}`;
}
