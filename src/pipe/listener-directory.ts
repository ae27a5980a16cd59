/**
 * ListenerDirectory: which address is listened on by which reactor, and how many shares it has.
 *
 * One listener per protocol and address however many pipes share on it; the first share's reactor
 * listens, the others' shares are announced to it, and it hands their connections over. On the
 * main thread.
 */

import { formatSocketAddress } from "../reactor/io-errors.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { RemoteReactor } from "./reactor-pool.ts";
import { shareExistsError, shareIdentity, type SharePlan } from "./share-plan.ts";
import type { ShareAnnouncement } from "./shares/share-service.ts";

interface ListenerEntry {
  readonly reactor: RemoteReactor;
  /** The real address, once it is listened on. */
  readonly listening: Promise<SocketAddress>;
  shareCount: number;
}

/** One share's place on a listener. */
export interface ListenerPlace {
  readonly address: SocketAddress;
  /** Makes the share known, anew, to the listener when that is another reactor's. */
  announce(announcement: ShareAnnouncement): Promise<void>;
  /** Takes the share's name back; the last one ends the listener. Idempotent. */
  leave(): Promise<void>;
}

export class ListenerDirectory {
  readonly #entries = new Map<string, ListenerEntry>();
  /** Listeners that still have their address: who wants it waits. */
  readonly #ending = new Map<string, Promise<void>>();
  readonly #identities = new Set<string>();
  #anonymous = 0;

  /** @throws PenstockError `export-exists`, `namespace-exists`: a share of ours is the same */
  checkFree(share: SharePlan): void {
    const identity = shareIdentity(share);
    if (identity !== null && this.#identities.has(identity)) throw shareExistsError(share);
  }

  /**
   * A place for a share that lives on `reactor`; listens first when nobody does yet.
   * @throws PenstockError as `checkFree`, or why the address cannot be listened on
   */
  async enter(share: SharePlan, reactor: RemoteReactor): Promise<ListenerPlace> {
    this.checkFree(share);
    const identity = shareIdentity(share);
    const key = this.#keyFor(share);
    const entry = this.#entries.get(key) ?? this.#listen(key, share, reactor);
    entry.shareCount += 1;
    if (identity !== null) this.#identities.add(identity);
    let real: SocketAddress;
    try {
      real = await entry.listening;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      if (identity !== null) this.#identities.delete(identity);
      throw error;
    }
    const isRemote = entry.reactor.id !== reactor.id;
    let announced: ShareAnnouncement | null = null;
    let left: Promise<void> | null = null;
    const leave = async (): Promise<void> => {
      entry.shareCount -= 1;
      if (identity !== null) this.#identities.delete(identity);
      if (announced !== null) {
        await entry.reactor.call("removeRemoteShare", { address: real, announcement: announced });
      }
      if (entry.shareCount > 0 || this.#entries.get(key) !== entry) return;
      this.#entries.delete(key);
      await this.#end(key, entry.reactor.call("unlisten", { kind: share.kind, address: real }));
    };
    return {
      address: real,
      announce: async (announcement) => {
        if (!isRemote) return;
        if (announced !== null) {
          await entry.reactor.call("removeRemoteShare", { address: real, announcement: announced });
        }
        const remote = { address: real, announcement, reactorId: reactor.id };
        await entry.reactor.call("addRemoteShare", remote);
        announced = announcement;
      },
      leave: () => {
        left ??= leave();
        return left;
      },
    };
  }

  #listen(key: string, { kind, address }: SharePlan, reactor: RemoteReactor): ListenerEntry {
    const listen = (): Promise<SocketAddress> => reactor.call("listen", { kind, address });
    const ending = this.#ending.get(key);
    const listening = ending === undefined ? listen() : ending.then(listen, listen);
    const entry = { reactor, listening, shareCount: 0 };
    this.#entries.set(key, entry);
    return entry;
  }

  async #end(key: string, ended: Promise<void>): Promise<void> {
    this.#ending.set(key, ended);
    try {
      await ended;
    } finally {
      this.#ending.delete(key);
    }
  }

  /** Each share that asks for any free port gets one of its own. */
  #keyFor({ kind, address }: SharePlan): string {
    if (address.kind === "unix" || address.port !== 0) {
      return `${kind} ${formatSocketAddress(address)}`;
    }
    this.#anonymous += 1;
    return `any port ${this.#anonymous}`;
  }
}
