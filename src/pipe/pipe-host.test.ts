// Tests of PipeHost: changes and closings that meet.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../testing/cleanup.ts";
import { PipeHost } from "./pipe-host.ts";

async function startHost(t: TestContext): Promise<PipeHost> {
  const bugs: string[] = [];
  const host = await PipeHost.start({
    level: "portable",
    reactors: 1,
    placement: "together",
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    deepStrictEqual(await host.close(), []);
    deepStrictEqual(bugs, []);
  });
  return host;
}

const PIPE = "malloc:///m#raw?size=1MiB | nbd://127.0.0.1:0/m";

test("a pipe's id is known before it is opened, and a closed pipe stays closed", async (t) => {
  const host = await startHost(t);
  let early = 0;
  const pipe = await host.open(PIPE, {
    onId: (id) => {
      early = id;
    },
  });
  strictEqual(pipe.id, early);
  // A listing and a change are under way when the pipe is closed; both end after that.
  const listing = host.describe(pipe.id);
  const change = host.insertStage(pipe.id, { text: "limit?iops=5" });
  await host.closePipe(pipe.id);
  await listing;
  const { text, shareText } = await change;
  strictEqual(text, `malloc:///m#raw?size=1MiB | limit?iops=5 | ${shareText}`);
  await rejects(host.describe(pipe.id), { code: "pipe-not-found" });
});
