// Tests of PipeHost: changes and closings that meet.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../testing/cleanup.ts";
import { PipeHost } from "./pipe-host.ts";

async function startHost(t: TestContext, { endsWell = true } = {}): Promise<PipeHost> {
  const bugs: string[] = [];
  const host = await PipeHost.start({
    level: "portable",
    reactors: 1,
    placement: "together",
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    const failures = await host.close();
    if (endsWell) deepStrictEqual(failures, []);
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

test("a tap reads the one stage that is labelled so, and holds up no other pipe", async (t) => {
  const host = await startHost(t);
  const open = (name: string, source: string): Promise<{ readonly id: number }> =>
    host.open(`${source} | nbd://127.0.0.1:0/${name}`);
  const first = await open("first", "malloc:///a#raw?size=1MiB");
  const tap = await open("tap", "tap:///raw");
  const second = await open("second", "malloc:///b#raw?size=2MiB");
  await rejects(open("other", "tap:///raw"), {
    code: "label-ambiguous",
    message: /^2 pipes have a stage #raw, expected one to tap: .*first.*second$/,
  });
  await rejects(host.closePipe(first.id), { code: "stage-tapped" });
  await host.closePipe(second.id);
  await host.closePipe(tap.id);
  await host.closePipe(first.id);
  await rejects(open("tap", "tap:///raw"), { code: "stage-not-found" });
});

test("a host closes taps of taps before what they tap", async (t) => {
  const host = await startHost(t);
  await host.open("malloc:///a#raw?size=1MiB | nbd://127.0.0.1:0/a");
  await host.open("tap:///raw#again | nbd://127.0.0.1:0/b");
  await host.open("tap:///again | nbd://127.0.0.1:0/c");
  deepStrictEqual(await host.close(), []);
});

test("a host closes what flushes to another pipe's share before that pipe", async (t) => {
  const host = await startHost(t);
  const { uri } = await host.open("malloc:///a?size=1MiB | nbd://127.0.0.1:0/a");
  const near = await host.open(`${uri} | nbd://127.0.0.1:0/near`);
  await host.open(`mirror(${near.uri}, malloc:///b?size=1MiB) | nbd://127.0.0.1:0/vol`);
  deepStrictEqual(await host.close(), []);
});

test("a host closes pipes that use each other, in no order", async (t) => {
  const host = await startHost(t, { endsWell: false });
  const first = await host.open("malloc:///a?size=1MiB | nbd://127.0.0.1:0/a");
  const second = await host.open(`${first.uri} | nbd://127.0.0.1:0/b`);
  await host.closePipe(first.id);
  // The second one finds it again, and they go round in a circle.
  await host.open(`${second.uri} | ${first.uri}`);
  await host.close();
});
