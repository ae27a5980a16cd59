/**
 * Scenario `pool`: clients on several volumes of a pool on one to three disks. Volumes come and go,
 * grow and shrink, the pool is exported and imported, gets another disk; its process is killed, its
 * host loses power, disks fail, hang, rot and are full.
 *
 * Safety rules 1, 2, 3 and 15 to 17. Each seed has one mode, which says what may happen: rot and
 * loss of power together would allow nearly everything.
 */

import { Pool } from "../../pool/pool.ts";
import { walkPool } from "../../pool/check/pool-walk.ts";
import { Prng } from "../../util/prng.ts";
import type { Scenario } from "../run.ts";
import type { PoolDoor } from "./pool-door.ts";
import { drawPool, POOL_MODES } from "./pool-draw.ts";
import { PoolStage } from "./pool-stage.ts";

const DOOR: PoolDoor = {
  create: (environment, devices, options) => Pool.create(environment, devices, options),
  import: (environment, devices, options) => Pool.import(environment, devices, options),
  walk: async (pool) => {
    await (pool as Pool).deleted();
    return (await walkPool((pool as Pool).parts)).problems;
  },
  // Copies of labels may be bad after a kill: blocks may not.
  scrub: async (pool) => (await (pool as Pool).scrub({ restart: true }).done).damagedCount,
  checkpoint: (pool) => (pool as Pool).parts.checkpointer.request("the simulator asks"),
};

export const POOL_SCENARIO: Scenario = {
  name: "pool",
  about: "volumes of a pool: kill, power loss, disks that fail, rot and are full",
  draw: (seed) => drawPool(seed, new Prng(`pool mode ${seed}`).pick(POOL_MODES)),
  start: (run) => new PoolStage(run, DOOR),
};
