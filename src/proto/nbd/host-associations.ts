/**
 * HostAssociations: which connections of an export belong to which host, so that a host that comes
 * back never meets what its earlier connections still have under way.
 *
 *   admit(N) --no lower one left--> in            N below the newest: refused, it is late
 *      +--lower ones there--> they are ended --last one closed--> in
 *
 * One per export. A connection counts until it has closed, and it closes only when its last
 * command has really ended. Remembers a bounded number of hosts that have gone.
 */

import type { HostAssociation } from "./private-context.ts";

/** A connection that belongs to a host. */
export interface HostConnection {
  /** Ends it now; it leaves (`HostAssociations.leave`) once its last command has ended. */
  fail(reason: string): void;
  /** The earlier connections of its host are gone. */
  admitted(): void;
}

/** Hosts without a connection that are remembered, to refuse what of theirs comes late. */
const GONE_HOSTS_MAX = 1024;

interface Host {
  /** The newest association. */
  number: number;
  /** Every connection not yet closed, with its association. */
  readonly connections: Map<HostConnection, number>;
  /** Connections of the newest association that wait for the older ones. */
  waiting: HostConnection[];
}

export class HostAssociations {
  readonly #hosts = new Map<string, Host>();

  /** @returns true: go on; false: `admitted` is called later; null: refused, a newer one is here */
  admit(connection: HostConnection, { host: name, number }: HostAssociation): boolean | null {
    const host = this.#host(name);
    if (number < host.number) return null;
    host.connections.set(connection, number);
    if (number > host.number) {
      host.number = number;
      host.waiting = [];
      for (const [other, itsNumber] of [...host.connections]) {
        if (itsNumber < number) other.fail("its host has come back with new connections");
      }
    }
    if (!hasOlder(host)) return true;
    host.waiting.push(connection);
    return false;
  }

  /** The connection has closed: nothing of it is in flight any more. */
  leave(connection: HostConnection, { host: name }: HostAssociation): void {
    const host = this.#hosts.get(name);
    if (host === undefined) return;
    host.connections.delete(connection);
    host.waiting = host.waiting.filter((other) => other !== connection);
    if (!hasOlder(host)) {
      const { waiting } = host;
      host.waiting = [];
      for (const other of waiting) other.admitted();
    }
    if (host.connections.size === 0) this.#forgetOldest();
  }

  #host(name: string): Host {
    const known = this.#hosts.get(name);
    const host = known ?? { number: 0, connections: new Map(), waiting: [] };
    // Behind all others: the oldest are forgotten first.
    if (known !== undefined) this.#hosts.delete(name);
    this.#hosts.set(name, host);
    return host;
  }

  #forgetOldest(): void {
    if (this.#hosts.size <= GONE_HOSTS_MAX) return;
    for (const [name, host] of this.#hosts) {
      if (host.connections.size > 0) continue;
      this.#hosts.delete(name);
      return;
    }
  }
}

function hasOlder(host: Host): boolean {
  for (const number of host.connections.values()) {
    if (number < host.number) return true;
  }
  return false;
}
