// A mirror over remote legs is one process's: another one over the same legs is refused while the
// first lives, and let in soon after that was killed.

import { match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LibraryDevice } from "../../src/library/library-device.ts";
import { PENSTOCK, startPenstock } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";

const NQN = "nqn.2026-11.io.penstock:claim";
/** The kernel tells the target of a killed process at once; starting another takes longer. */
const FREE_MS_MAX = 60_000;
const CLAIMED = /claimed: .*penstock:claim-b: another host has namespace 1 in a mirror/;

test("a second mirror over the same remote legs is refused while the first lives", async (t) => {
  const targets = await startPenstock(
    t,
    ["a", "b"].map((name) => `malloc:///${name}?size=8MiB | nvmf://127.0.0.1:0/${NQN}-${name}`),
  );
  const [a, b] = targets.uris;
  const legs = [`${a}`, `${b} | log`];
  const first = await startPenstock(t, `mirror(${legs.join(", ")}) | nbd://127.0.0.1:0/one`);
  // The leg with a filter comes first here, and is the one that is refused.
  const pipe = `mirror(${legs.toReversed().join(", ")}) | nbd://127.0.0.1:0/two`;
  const refused = await runCommand(PENSTOCK, ["pipe", "run", pipe], { exitCode: "any" });
  strictEqual(refused.exitCode, 1);
  match(refused.stderr, CLAIMED);
  // What is claimed by a mirror may be looked at by others.
  const device = await LibraryDevice.open(targets.uris[0] ?? "", {});
  strictEqual((await device.readAt(4096, 0))[0], 0);
  await device.close();

  await first.stop("SIGKILL");
  const endMs = performance.now() + FREE_MS_MAX;
  for (;;) {
    try {
      const second = await startPenstock(t, pipe);
      await second.stop("SIGTERM");
      break;
    } catch (error) {
      match(String(error), CLAIMED);
      ok(performance.now() < endMs, "the claims of a killed process stay");
      await sleep(100);
    }
  }
  // A clean stop has given the claims back before it ends.
  await startPenstock(t, pipe);
});
