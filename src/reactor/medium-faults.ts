/**
 * MediumFaults: how often each medium has failed to keep written data since its reactor started.
 *
 * Owned by a Reactor and gone with it. Nothing is shared between reactors, so that the simulator's
 * worlds, which have disks of the same identity, do not meet here.
 */

export class MediumFaults {
  /** By the medium's identity (`OpenedFile.identity`). */
  readonly #counts = new Map<string, number>();

  add(identity: string): void {
    this.#counts.set(identity, this.count(identity) + 1);
  }

  count(identity: string): number {
    return this.#counts.get(identity) ?? 0;
  }
}
