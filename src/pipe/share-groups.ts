/**
 * ShareGroups: which reactor the shares of one group live on.
 *
 * The namespaces of one NQN are one subsystem, and a subsystem's controllers live on one reactor:
 * the first share of a group decides which, until its last one is closed. On the main thread.
 */

import type { RemoteReactor } from "./reactor-pool.ts";
import { shareGroup, type SharePlan } from "./share-plan.ts";

interface Group {
  readonly reactor: RemoteReactor;
  count: number;
}

/** A share's place in its group; of a share without one, its own. */
export interface GroupPlace {
  readonly reactor: RemoteReactor;
  /** Once, when the share is closed. */
  leave(): void;
}

export class ShareGroups {
  readonly #groups = new Map<string, Group>();

  /** @param preferred where the share goes unless its group lives elsewhere */
  enter(share: SharePlan, preferred: RemoteReactor): GroupPlace {
    const name = shareGroup(share);
    if (name === undefined) return { reactor: preferred, leave: () => undefined };
    const group = this.#groups.get(name) ?? { reactor: preferred, count: 0 };
    this.#groups.set(name, group);
    group.count += 1;
    return {
      reactor: group.reactor,
      leave: () => {
        group.count -= 1;
        if (group.count === 0) this.#groups.delete(name);
      },
    };
  }
}
