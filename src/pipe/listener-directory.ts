/**
 * ListenerDirectory: which address is listened on by which reactor, and which exports it has.
 *
 * One listener per address however many pipes share on it; the first share's reactor listens, the
 * others' exports are announced to it, and it hands their connections over. On the main thread.
 */

import type { ExportDescription } from "../proto/nbd/export-description.ts";
import { formatSocketAddress } from "../reactor/io-errors.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { PenstockError } from "../util/errors.ts";
import type { RemoteReactor } from "./reactor-pool.ts";

interface ListenerEntry {
  readonly reactor: RemoteReactor;
  /** The real address, once it is listened on. */
  readonly listening: Promise<SocketAddress>;
  readonly exportNames: Set<string>;
}

/** One share's place on a listener. */
export interface ListenerPlace {
  readonly address: SocketAddress;
  /** Makes the export known to the listener when that is another reactor's. */
  announce(description: ExportDescription): Promise<void>;
  /** Takes the export's name back; the last one ends the listener. Idempotent. */
  leave(): Promise<void>;
}

export class ListenerDirectory {
  readonly #entries = new Map<string, ListenerEntry>();
  #anonymous = 0;

  /** @throws PenstockError `export-exists` when a share of ours has the name already */
  checkFree(address: SocketAddress, exportName: string): void {
    const entry = this.#entries.get(keyOf(address));
    if (entry?.exportNames.has(exportName) !== true) return;
    throw new PenstockError({
      code: "export-exists",
      message: `${formatSocketAddress(address)} has an export "${exportName}" already`,
      details: { address: formatSocketAddress(address), exportName },
    });
  }

  /**
   * A place for an export that lives on `reactor`; listens first when nobody does yet.
   * @throws PenstockError `export-exists`, or why the address cannot be listened on
   */
  async enter(
    address: SocketAddress,
    exportName: string,
    reactor: RemoteReactor,
  ): Promise<ListenerPlace> {
    this.checkFree(address, exportName);
    const key = this.#keyFor(address);
    const entry = this.#entries.get(key) ?? this.#listen(key, address, reactor);
    entry.exportNames.add(exportName);
    let real: SocketAddress;
    try {
      real = await entry.listening;
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
    const isRemote = entry.reactor.id !== reactor.id;
    let announced = false;
    let left: Promise<void> | null = null;
    const leave = async (): Promise<void> => {
      entry.exportNames.delete(exportName);
      const name = exportName;
      if (announced) await entry.reactor.call("removeRemoteExport", { address: real, name });
      if (entry.exportNames.size > 0 || this.#entries.get(key) !== entry) return;
      this.#entries.delete(key);
      await entry.reactor.call("unlisten", { address: real });
    };
    return {
      address: real,
      announce: async (description) => {
        if (!isRemote) return;
        const reactorId = reactor.id;
        await entry.reactor.call("addRemoteExport", { address: real, description, reactorId });
        announced = true;
      },
      leave: () => {
        left ??= leave();
        return left;
      },
    };
  }

  #listen(key: string, address: SocketAddress, reactor: RemoteReactor): ListenerEntry {
    const listening = reactor.call("listen", { address });
    const entry = { reactor, listening, exportNames: new Set<string>() };
    this.#entries.set(key, entry);
    return entry;
  }

  /** Each share that asks for any free port gets one of its own. */
  #keyFor(address: SocketAddress): string {
    if (address.kind === "unix" || address.port !== 0) return keyOf(address);
    this.#anonymous += 1;
    return `any port ${this.#anonymous}`;
  }
}

function keyOf(address: SocketAddress): string {
  return formatSocketAddress(address);
}
