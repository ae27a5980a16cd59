/**
 * ExportEntry: a connection's place at its export: counted among its connections from when it is
 * let in, or has to wait, until it has closed.
 *
 *   out --enter--> in                              (refused: full, or its host is here newer)
 *        \--its host's earlier connections are not gone--> waiting --admitted--> in
 */

import type { ExportConnection, NbdExport } from "./export.ts";
import type { HostConnection } from "./host-associations.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import type { HostAssociation } from "./private-context.ts";

export const Entry = { entered: 0, waiting: 1, refused: 2 } as const;
export type Entry = (typeof Entry)[keyof typeof Entry];

export class ExportEntry {
  readonly session: NegotiatedSession;
  readonly exported: NbdExport;
  /** Why it was refused. */
  reason = "";
  readonly #connection: ExportConnection & HostConnection;
  #association: HostAssociation | null = null;

  constructor(
    connection: ExportConnection & HostConnection,
    session: NegotiatedSession,
    exported: NbdExport,
  ) {
    this.#connection = connection;
    this.session = session;
    this.exported = exported;
  }

  /** When it has to wait, the connection's `admitted` is called later, and then `enter` again. */
  enter(): Entry {
    const { session, exported } = this;
    const { association } = session;
    if (association !== undefined && this.#association === null) {
      const isAdmitted = exported.associations.admit(this.#connection, association);
      if (isAdmitted === null) return this.#refuse("its host has newer connections");
      this.#association = association;
      // One that waits goes with its export, too.
      if (!isAdmitted) {
        this.#join();
        return Entry.waiting;
      }
    }
    const others = exported.connections.size - (this.#hasJoined ? 1 : 0);
    if (others >= exported.maxConnections) {
      return this.#refuse(
        `export ${session.export.name} has its ${exported.maxConnections} connections`,
      );
    }
    this.#join();
    return Entry.entered;
  }

  get #hasJoined(): boolean {
    return this.exported.connections.has(this.#connection);
  }

  /** The connection has closed. */
  leave(): void {
    const { exported } = this;
    if (exported.connections.delete(this.#connection)) exported.stats.connections--;
    if (this.#association !== null)
      exported.associations.leave(this.#connection, this.#association);
  }

  #join(): void {
    if (this.#hasJoined) return;
    this.exported.connections.add(this.#connection);
    this.exported.stats.connections++;
  }

  #refuse(reason: string): Entry {
    this.reason = reason;
    return Entry.refused;
  }
}
